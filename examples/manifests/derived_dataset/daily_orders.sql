-- One row per order that was not cancelled: what its lines add up to.
SELECT
  order_id,
  CAST(SUM(quantity * unit_price) AS DECIMAL(38, 9)) AS total_amount
FROM raw.orders
WHERE status <> 'cancelled'
GROUP BY order_id
