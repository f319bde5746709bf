-- clusters of the stills of each class: their shares and nearest stills, and how sure the split is
WITH stills_of AS (
  SELECT t.dataset, t.model, t.explain, target, sum(n_frames) AS n
  FROM class_prototypes AS t
  GROUP BY t.dataset, t.model, t.explain, target)
SELECT c.dataset, c.model, c.explain, c.target, c.cluster, c.n_frames AS stills,
       round(1e0 * c.n_frames / s.n, 3) AS share, c.n_clusters, round(c.eigengap, 3) AS eigengap,
       round(c.silhouette, 3) AS silhouette, c.exemplars AS nearest_stills
FROM class_prototypes AS c
JOIN stills_of AS s ON c.dataset = s.dataset AND c.model = s.model AND c.explain = s.explain AND c.target = s.target
ORDER BY 1, 2, 3, target, length(c.cluster), c.cluster
