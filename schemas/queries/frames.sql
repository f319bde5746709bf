-- frames by what became of them
SELECT t.dataset, t.model, t.explain, status, count(*) AS frames
FROM frames AS t
GROUP BY t.dataset, t.model, t.explain, status
ORDER BY 1, 2, 3, status
