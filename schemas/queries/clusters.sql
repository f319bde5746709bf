-- how many ways of looking SpRAy found
SELECT t.dataset, t.model, t.explain, target, n_clusters, count(DISTINCT sequence_id) AS sequences
FROM prototypes AS t
GROUP BY t.dataset, t.model, t.explain, target, n_clusters
ORDER BY 1, 2, 3, target, n_clusters
