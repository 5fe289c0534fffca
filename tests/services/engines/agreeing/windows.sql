-- row number
SELECT order_id, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY order_id) AS n FROM raw.orders

-- ranks
SELECT order_id, RANK() OVER (ORDER BY amount) AS a, DENSE_RANK() OVER (ORDER BY amount DESC) AS b,
  PERCENT_RANK() OVER (ORDER BY amount) AS c, CUME_DIST() OVER (ORDER BY amount) AS d,
  NTILE(2) OVER (ORDER BY order_id) AS e
FROM raw.orders

-- lag lead
SELECT order_id, LAG(amount) OVER (ORDER BY order_id) AS a, LEAD(amount, 2, -1) OVER (ORDER BY order_id) AS b
FROM raw.orders

-- lag ignore
SELECT order_id, LAG(amount) IGNORE NULLS OVER (ORDER BY order_id) AS a FROM raw.orders

-- running
SELECT order_id, SUM(amount) OVER (ORDER BY order_id) AS a,
  SUM(amount) OVER (ORDER BY order_id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) AS b,
  AVG(amount) OVER (PARTITION BY customer) AS c
FROM raw.orders

-- range frame
SELECT order_id, SUM(qty) OVER (ORDER BY amount RANGE BETWEEN 10 PRECEDING AND CURRENT ROW) AS a
FROM raw.orders

-- range ties
SELECT order_id, SUM(qty) OVER (ORDER BY amount) AS a FROM raw.orders

-- range interval
SELECT order_id, SUM(qty) OVER (ORDER BY ts RANGE BETWEEN INTERVAL 40 DAYS PRECEDING AND CURRENT ROW) AS a
FROM raw.orders

-- first last
SELECT order_id, FIRST_VALUE(amount) OVER (PARTITION BY customer ORDER BY order_id) AS a,
  LAST_VALUE(amount) OVER (PARTITION BY customer ORDER BY order_id ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS b, NTH_VALUE(amount, 2) OVER (ORDER BY order_id) AS c
FROM raw.orders

-- first ignore
SELECT order_id, LAST_VALUE(amount) IGNORE NULLS OVER (ORDER BY order_id) AS a FROM raw.orders

-- last value arg
SELECT order_id, LAST_VALUE(amount, TRUE) OVER (ORDER BY order_id) AS a FROM raw.orders

-- named window
SELECT order_id, SUM(qty) OVER w AS a FROM raw.orders WINDOW w AS (PARTITION BY customer ORDER BY order_id)

-- window agg
SELECT customer, SUM(amount) AS t, RANK() OVER (ORDER BY SUM(amount) DESC NULLS LAST) AS r
FROM raw.orders
GROUP BY customer

-- window desc nulls
SELECT order_id, ROW_NUMBER() OVER (ORDER BY amount DESC, order_id) AS n FROM raw.orders

-- collect window
SELECT order_id, COLLECT_LIST(order_id) OVER (PARTITION BY customer ORDER BY order_id) AS l FROM raw.orders

-- ntile
SELECT order_id, NTILE(4) OVER (ORDER BY order_id) AS a FROM raw.orders

-- dedupe
SELECT order_id, amount
FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY customer ORDER BY ts DESC NULLS LAST) AS rn FROM raw.orders)
WHERE rn = 1

-- session
SELECT order_id, SUM(flag) OVER (PARTITION BY customer ORDER BY ts) AS sess
FROM (SELECT *, CASE WHEN ts > LAG(ts) OVER (PARTITION BY customer ORDER BY ts) + INTERVAL 10 DAYS THEN 1 ELSE 0 END AS flag FROM raw.orders)

-- scd2
SELECT customer, day AS valid_from,
  LEAD(day) OVER (PARTITION BY customer ORDER BY day) - INTERVAL 1 DAY AS valid_to
FROM raw.orders
WHERE customer IS NOT NULL

-- distinct win
SELECT order_id, SIZE(COLLECT_SET(customer) OVER ()) AS n FROM raw.orders

-- window frame groups
SELECT order_id,
  COUNT(*) OVER (PARTITION BY customer ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS n
FROM raw.orders
