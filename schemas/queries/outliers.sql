-- sequences with a look that hardly any other has, by its distance from the others, farthest first
SELECT c.dataset, c.model, c.explain, c.sequence_id, c.target, c.cluster, c.look, l.n_sequences,
       round(CASE WHEN c.look IS NULL THEN c.distance ELSE l.isolation END, 3) AS distance_from_others
FROM cluster_looks AS c
LEFT JOIN looks AS l
  ON c.dataset = l.dataset AND c.model = l.model AND c.explain = l.explain AND c.target = l.target AND c.look = l.look
WHERE l.rare OR c.look IS NULL
ORDER BY 1, 2, 3, distance_from_others DESC NULLS LAST, sequence_id, target, c.cluster
