-- how often each target is active
SELECT t.dataset, t.model, t.explain, target, count(CASE WHEN active THEN 1 END) AS active_frames, count(*) AS frames,
       count(DISTINCT CASE WHEN active THEN sequence_id END) AS sequences
FROM detections AS t
GROUP BY t.dataset, t.model, t.explain, target
ORDER BY 1, 2, 3, target
