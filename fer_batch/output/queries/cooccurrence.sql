-- which targets are active in the same frames, and how much oftener than if they were independent (lift)
WITH active_rows AS (
  SELECT t.dataset, t.model, t.explain, sequence_id, frame_index, target FROM detections AS t WHERE active),
rates AS (
  SELECT t.dataset, t.model, t.explain, target, count(CASE WHEN active THEN 1 END) AS active_frames, count(*) AS frames
  FROM detections AS t
  GROUP BY t.dataset, t.model, t.explain, target),
pairs AS (
  SELECT a.dataset, a.model, a.explain, a.target AS one, b.target AS other, count(*) AS both_active,
         count(DISTINCT a.sequence_id) AS sequences
  FROM active_rows AS a
  JOIN active_rows AS b
    ON a.dataset = b.dataset AND a.model = b.model AND a.explain = b.explain AND a.sequence_id = b.sequence_id
       AND a.frame_index = b.frame_index AND a.target < b.target
  GROUP BY a.dataset, a.model, a.explain, a.target, b.target)
SELECT p.dataset, p.model, p.explain, p.one, p.other, p.both_active, p.sequences,
       round(1e0 * p.both_active / (x.active_frames + y.active_frames - p.both_active), 3) AS jaccard,
       round(1e0 * p.both_active * x.frames / (1e0 * x.active_frames * y.active_frames), 2) AS lift
FROM pairs AS p
JOIN rates AS x ON p.dataset = x.dataset AND p.model = x.model AND p.explain = x.explain AND p.one = x.target
JOIN rates AS y ON p.dataset = y.dataset AND p.model = y.model AND p.explain = y.explain AND p.other = y.target
ORDER BY 1, 2, 3, both_active DESC, one, other
