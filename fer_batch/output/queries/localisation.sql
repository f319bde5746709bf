-- where each target's evidence lies, beside chance
SELECT t.dataset, t.model, t.explain, target, count(mu) AS n, round(avg(1e0 * mu), 3) AS mu,
       round(avg(CASE WHEN mu IS NOT NULL THEN 1e0 * region_share END), 3) AS chance
FROM detections AS t
WHERE active
GROUP BY t.dataset, t.model, t.explain, target
HAVING count(mu) > 0
ORDER BY 1, 2, 3, target
