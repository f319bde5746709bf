-- reasons for which inputs failed, were read in part or skipped, commonest first, each with an example
SELECT t.dataset, t.model, t.explain, status, reason, count(*) AS inputs, min(sequence_id) AS example
FROM sequences AS t
WHERE status <> 'done'
GROUP BY t.dataset, t.model, t.explain, status, reason
ORDER BY 1, 2, 3, inputs DESC, status, reason
