-- in what share of each emotion's sequences each look is seen, and how much more than in all
WITH shown AS (
  SELECT t.dataset, t.model, t.explain, sequence_id, emotion
  FROM sequences AS t
  WHERE emotion IS NOT NULL AND status IN ('done', 'partial')),
of_emotion AS (
  SELECT t.dataset, t.model, t.explain, emotion, count(*) AS sequences
  FROM shown AS t
  GROUP BY t.dataset, t.model, t.explain, emotion),
of_all AS (
  SELECT t.dataset, t.model, t.explain, count(*) AS n FROM shown AS t GROUP BY t.dataset, t.model, t.explain),
seen AS (
  SELECT DISTINCT s.dataset, s.model, s.explain, s.emotion, c.target, c.look, s.sequence_id
  FROM cluster_looks AS c
  JOIN shown AS s
    ON c.dataset = s.dataset AND c.model = s.model AND c.explain = s.explain AND c.sequence_id = s.sequence_id
  WHERE c.look IS NOT NULL),
counted AS (
  SELECT t.dataset, t.model, t.explain, target, look, emotion, count(*) AS seen_in
  FROM seen AS t
  GROUP BY t.dataset, t.model, t.explain, target, look, emotion),
everywhere AS (
  SELECT t.dataset, t.model, t.explain, target, look, count(*) AS seen_in
  FROM seen AS t
  GROUP BY t.dataset, t.model, t.explain, target, look)
SELECT c.dataset, c.model, c.explain, c.target, c.look, c.emotion, c.seen_in, o.sequences,
       round(1e0 * c.seen_in / o.sequences, 3) AS share,
       round(1e0 * c.seen_in * a.n / (1e0 * o.sequences * e.seen_in), 2) AS lift
FROM counted AS c
JOIN of_emotion AS o ON c.dataset = o.dataset AND c.model = o.model AND c.explain = o.explain AND c.emotion = o.emotion
JOIN of_all AS a ON c.dataset = a.dataset AND c.model = a.model AND c.explain = a.explain
JOIN everywhere AS e
  ON c.dataset = e.dataset AND c.model = e.model AND c.explain = e.explain AND c.target = e.target AND c.look = e.look
ORDER BY 1, 2, 3, target, look, share DESC, emotion
