SELECT
  region,
  CAST(DATE_ADD(CAST(ordered_at AS DATE), 1) AS TIMESTAMP) AS known_at,
  COUNT(DISTINCT order_id) AS orders,
  CAST(SUM(amount) AS DECIMAL(18, 2)) AS revenue,
  MAX(amount) AS largest_line
FROM derived_datasets.order_lines
WHERE region IS NOT NULL
GROUP BY region, CAST(DATE_ADD(CAST(ordered_at AS DATE), 1) AS TIMESTAMP)
