-- reasons, alike but for their numbers, for which inputs failed, were read in part or skipped, commonest first
WITH counted AS (
  SELECT t.dataset, t.model, t.explain, sequence_id, status, reason, coalesce(uri, sequence_id) AS input,
         replace(replace(replace(replace(replace(replace(replace(replace(replace(replace(
           reason, '0', ''), '1', ''), '2', ''), '3', ''), '4', ''), '5', ''), '6', ''), '7', ''), '8', ''), '9', '')
           AS words
  FROM sequences AS t
  WHERE status <> 'done')
SELECT t.dataset, t.model, t.explain, status, min(reason) AS reason, count(DISTINCT input) AS inputs,
       min(sequence_id) AS example
FROM counted AS t
GROUP BY t.dataset, t.model, t.explain, status, words
ORDER BY 1, 2, 3, inputs DESC, status, reason
