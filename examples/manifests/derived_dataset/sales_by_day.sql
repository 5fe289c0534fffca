SELECT
  CAST(ordered_at AS DATE) AS day,
  region,
  COUNT(*) AS lines,
  CAST(SUM(quantity * unit_price) AS DECIMAL(28, 2)) AS sales
FROM raw.orders
WHERE
  status <> 'cancelled'
  AND ordered_at >= CAST(:start AS TIMESTAMP)
  AND ordered_at < CAST(:end AS TIMESTAMP)
GROUP BY CAST(ordered_at AS DATE), region
