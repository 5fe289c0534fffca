-- order default
SELECT order_id, amount FROM raw.orders ORDER BY amount, order_id

-- order desc
SELECT order_id, amount FROM raw.orders ORDER BY amount DESC, order_id

-- order nulls
SELECT order_id, amount FROM raw.orders ORDER BY amount NULLS LAST, order_id DESC NULLS FIRST

-- order str
SELECT s FROM raw.texts ORDER BY s

-- order ordinal
SELECT order_id, amount FROM raw.orders ORDER BY 2 DESC, 1

-- order alias expr
SELECT order_id, amount * 2 AS n FROM raw.orders ORDER BY n + 1, order_id

-- limit offset
SELECT order_id FROM raw.orders ORDER BY order_id LIMIT 2 OFFSET 1

-- order struct
SELECT id FROM raw.events ORDER BY item, id

-- order bool
SELECT order_id, ok FROM raw.orders ORDER BY ok, order_id

-- order not selected
SELECT order_id FROM raw.orders ORDER BY qty DESC, order_id

-- order nan
SELECT x FROM VALUES (CAST('NaN' AS DOUBLE)),(1D),(CAST(NULL AS DOUBLE)),(-1D) AS t(x) ORDER BY x

-- group nan
SELECT x, COUNT(*) AS n
FROM VALUES (CAST('NaN' AS DOUBLE)),(CAST('NaN' AS DOUBLE)),(0D),(-0D) AS t(x)
GROUP BY x ORDER BY x
