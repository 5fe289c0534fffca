SELECT
  CAST(ordered_at AS DATE) AS order_date,
  COALESCE(region, 'UNKNOWN') AS region,
  COUNT(DISTINCT order_id) AS orders,
  SUM(amount) AS revenue
FROM derived_datasets.order_lines
WHERE ordered_at >= CAST(:since AS TIMESTAMP)
GROUP BY CAST(ordered_at AS DATE), COALESCE(region, 'UNKNOWN')
