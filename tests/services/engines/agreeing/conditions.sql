-- null cmp
SELECT order_id, amount = NULL AS a, amount <=> NULL AS b, amount IS DISTINCT
FROM 10 AS c, NULL AND FALSE AS d, NULL OR TRUE AS e
FROM raw.orders

-- case no else
SELECT order_id, CASE WHEN ok THEN amount END AS a FROM raw.orders

-- in null
SELECT order_id, amount IN (10, NULL) AS a, amount NOT IN (10, NULL) AS b FROM raw.orders

-- greatest null
SELECT GREATEST(NULL, 1, 2) AS a, LEAST(NULL, 'b', 'a') AS b

-- typeof
SELECT TYPEOF(1.5) AS a, TYPEOF(ARRAY(1)) AS b, TYPEOF(MAP('a', 1)) AS c

-- bool cmp
SELECT order_id, ok IS TRUE AS a, ok IS NOT FALSE AS b, NOT ok AS c, ok IS UNKNOWN AS d FROM raw.orders

-- coalesce types
SELECT COALESCE(NULL, 1, 2.5) AS a, COALESCE(price, 0) AS b FROM raw.orders

-- nvl2
SELECT NVL2(amount, 'y', 'n') AS e FROM raw.orders

-- nulls b
SELECT order_id, COALESCE(amount, -1) AS a, NVL(amount, 0) AS b, NULLIF(qty, 3) AS c, IFNULL(rate, 0) AS d
FROM raw.orders

-- coalesce dec
SELECT COALESCE(price, 0) AS b FROM raw.orders

-- case null dec
SELECT IF(ok, NULL, price) AS a, CASE WHEN ok THEN NULL ELSE amount END AS b FROM raw.orders

-- sum coalesce
SELECT SUM(COALESCE(price, 0)) AS a FROM raw.orders

-- coalesce first int
SELECT COALESCE(qty, price) AS a FROM raw.orders

-- case cast
SELECT CASE WHEN ok THEN price ELSE CAST(0 AS DECIMAL(10,2)) END AS a FROM raw.orders

-- if cast
SELECT IF(ok, CAST(0 AS DECIMAL(10,2)), price) AS a FROM raw.orders
