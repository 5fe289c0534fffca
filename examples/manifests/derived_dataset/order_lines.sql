SELECT
  order_id,
  line_number,
  CAST(ordered_at AS TIMESTAMP) AS ordered_at,
  UPPER(TRIM(region)) AS region,
  CAST(quantity * unit_price AS DECIMAL(18, 2)) AS amount
FROM raw.orders
WHERE status <> 'cancelled'
