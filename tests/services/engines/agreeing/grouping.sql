-- group
SELECT customer, COUNT(*) AS n, COUNT(amount) AS m, COUNT(DISTINCT amount) AS d, MIN(day) AS lo, MAX(ts) AS hi
FROM raw.orders
GROUP BY customer

-- having
SELECT customer FROM raw.orders GROUP BY customer HAVING COUNT(*) > 1

-- having alias
SELECT customer, COUNT(*) AS n FROM raw.orders GROUP BY customer HAVING n > 1

-- group alias
SELECT YEAR(day) AS y, COUNT(*) AS n FROM raw.orders GROUP BY y

-- group ordinal
SELECT YEAR(day) AS y, COUNT(*) AS n FROM raw.orders GROUP BY 1

-- rollup
SELECT customer, ok, COUNT(*) AS n FROM raw.orders GROUP BY ROLLUP (customer, ok)

-- with rollup
SELECT customer, ok, COUNT(*) AS n FROM raw.orders GROUP BY customer, ok WITH ROLLUP

-- cube
SELECT customer, ok, COUNT(*) AS n FROM raw.orders GROUP BY CUBE (customer, ok)

-- grouping sets
SELECT customer, ok, COUNT(*) AS n FROM raw.orders GROUP BY GROUPING SETS ((customer), (ok), ())

-- grouping fn
SELECT customer, GROUPING(customer) AS g, COUNT(*) AS n FROM raw.orders GROUP BY ROLLUP (customer)

-- grouping id
SELECT customer, ok, GROUPING_ID() AS g, COUNT(*) AS n FROM raw.orders GROUP BY CUBE (customer, ok)

-- agg filter
SELECT COUNT(*) FILTER (WHERE ok) AS a, SUM(amount) FILTER (WHERE NOT ok) AS b FROM raw.orders

-- count if
SELECT COUNT_IF(ok) AS a, BOOL_AND(ok) AS b, BOOL_OR(ok) AS c, EVERY(ok) AS d, ANY(ok) AS e FROM raw.orders

-- max by
SELECT MAX_BY(order_id, amount + qty) AS a, MIN_BY(order_id, amount) AS b FROM raw.orders

-- empty agg
SELECT SUM(amount) AS a, COUNT(*) AS b, MAX(day) AS c, AVG(qty) AS d, COLLECT_LIST(qty) AS e
FROM raw.orders
WHERE FALSE

-- empty group
SELECT customer, COUNT(*) AS n FROM raw.orders WHERE FALSE GROUP BY customer

-- distinct
SELECT DISTINCT customer, ok FROM raw.orders

-- count distinct multi
SELECT COUNT(DISTINCT customer, ok) AS n FROM raw.orders

-- avg int
SELECT AVG(qty) AS a, SUM(qty) AS b, AVG(rate) AS c, SUM(rate) AS d FROM raw.orders

-- any value
SELECT customer, ANY_VALUE(customer) AS a, FIRST(customer) AS b FROM raw.orders GROUP BY customer

-- try sum
SELECT TRY_SUM(x) AS a, TRY_ADD(9223372036854775807, 1L) AS b FROM VALUES (9223372036854775807),(1) AS t(x)

-- pivot paren
SELECT *
FROM (SELECT customer, ok, amount FROM raw.orders)
PIVOT (SUM(amount) FOR (ok) IN (TRUE AS yes, FALSE AS no))

-- pivot two
SELECT *
FROM (SELECT customer, ok, amount FROM raw.orders)
PIVOT (SUM(amount) AS s, COUNT(amount) AS c FOR (ok) IN (TRUE AS yes))

-- unpivot incl
SELECT order_id, k, v
FROM (SELECT order_id, amount, CAST(qty AS BIGINT) AS qty FROM raw.orders)
UNPIVOT INCLUDE NULLS (v FOR k IN (amount, qty))

-- percentile disc
SELECT PERCENTILE_DISC(0.5) WITHIN GROUP (ORDER BY amount) AS a FROM raw.orders

-- bool sum
SELECT SUM(CAST(ok AS INT)) AS a FROM raw.orders

-- count cols
SELECT COUNT(customer, amount) AS a FROM raw.orders

-- first nulls
SELECT FIRST(amount) AS a FROM (SELECT amount FROM raw.orders WHERE order_id = 'o4')

-- collect null
SELECT SIZE(COLLECT_LIST(amount)) AS a, SIZE(COLLECT_SET(amount)) AS b FROM raw.orders

-- mode det
SELECT MODE(customer) AS a FROM raw.orders

-- grouping sets alias
SELECT COALESCE(customer, 'all') AS c, GROUPING(customer) AS g, SUM(amount) AS t
FROM raw.orders
GROUP BY GROUPING SETS ((customer), ())

-- grouping where
SELECT customer, t
FROM (SELECT customer, GROUPING(customer) AS g, SUM(amount) AS t FROM raw.orders GROUP BY ROLLUP (customer))
WHERE g = 1

-- row filter having
SELECT customer FROM raw.orders GROUP BY customer HAVING MAX(amount) > 20 AND COUNT(*) = 2

-- pivot noagg
SELECT *
FROM (SELECT customer, ok, qty FROM raw.orders)
PIVOT (MAX(qty) AS m, MIN(qty) AS n FOR (ok) IN (TRUE AS t, FALSE AS f))
