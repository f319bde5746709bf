-- at which places the network looks for each target, over all sequences
SELECT t.dataset, t.model, t.explain, target, look, place, round(place_share, 2) AS place_share, n_sequences,
       round(share, 3) AS share, n_subjects, n_clusters, n_frames, round(stability, 2) AS stability,
       round(mu, 3) AS mu, rare, exemplars AS nearest_frames
FROM looks AS t
ORDER BY 1, 2, 3, target, look
