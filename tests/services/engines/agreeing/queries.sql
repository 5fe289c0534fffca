-- cte
WITH a AS (SELECT customer, SUM(amount) AS t FROM raw.orders GROUP BY customer),
  b AS (SELECT * FROM a WHERE t > 10) SELECT *
FROM b

-- nested cte
WITH a AS (WITH b AS (SELECT 1 AS x) SELECT x + 1 AS y FROM b) SELECT y FROM a

-- case insens
SELECT ORDER_ID, O.Amount FROM raw.orders o

-- backtick
SELECT `order_id` AS `my id`, 1 AS `x.y` FROM raw.orders

-- dup cols
SELECT amount, amount FROM raw.orders

-- where agg sub
SELECT order_id FROM raw.orders WHERE amount = (SELECT MAX(amount) FROM raw.orders)

-- range
SELECT id FROM RANGE(3)

-- distinct on order
SELECT DISTINCT amount FROM raw.orders ORDER BY amount DESC

-- ops
SELECT 7 <> 8 AS a, 7 != 8 AS b, 7 == 7 AS c, NOT TRUE AS d, !TRUE AS e, 5 BETWEEN 1 AND 5 AS f

-- interval out
SELECT INTERVAL 1 DAY AS a

-- make interval
SELECT ts + MAKE_INTERVAL(0, 1, 0, 2) AS a FROM raw.orders

-- make dt interval
SELECT ts + MAKE_DT_INTERVAL(1, 2) AS a FROM raw.orders

-- date literal cmp
SELECT DATE '2026-01-01' = '2026-01-01' AS a, TIMESTAMP '2026-01-01 00:00:00' = DATE '2026-01-01' AS b

-- sum distinct
SELECT SUM(DISTINCT amount) AS a, AVG(DISTINCT amount) AS b FROM raw.orders

-- try subtract
SELECT TRY_SUBTRACT(amount, 5) AS a, TRY_MULTIPLY(amount, 2) AS b FROM raw.orders

-- first last agg
SELECT FIRST(amount, TRUE) AS a, LAST(amount, TRUE) AS b FROM (SELECT * FROM raw.orders ORDER BY order_id)

-- inline table join
SELECT o.order_id, t.w FROM raw.orders o JOIN VALUES ('ann', 1), ('bob', 2) AS t(c, w) ON o.customer = t.c

-- equal null
SELECT EQUAL_NULL(NULL, NULL) AS a, ZEROIFNULL(NULL) AS b, NULLIFZERO(0) AS c

-- map subscript missing
SELECT MAP('a', 1)['z'] AS a
