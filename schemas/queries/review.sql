-- frames to look at: the network is surest of a target there, and less of its evidence than chance is in its region
SELECT t.dataset, t.model, t.explain, target, sequence_id, frame_index, round(1e0 * probability, 3) AS probability,
       round(1e0 * mu, 3) AS mu, round(1e0 * region_share, 3) AS chance
FROM (SELECT t.dataset, t.model, t.explain, target, sequence_id, frame_index, probability, mu, region_share,
             row_number() OVER (PARTITION BY t.dataset, t.model, t.explain, target
                                ORDER BY probability DESC, mu, sequence_id, frame_index) AS nth
      FROM detections AS t
      WHERE active AND mu < region_share AND probability IS NOT NULL) AS t
WHERE nth <= 5
ORDER BY 1, 2, 3, target, nth
