-- inputs that failed, were read in part or skipped, and why
SELECT t.dataset, t.model, t.explain, sequence_id, status, reason
FROM sequences AS t
WHERE status <> 'done'
ORDER BY 1, 2, 3, sequence_id
