-- column of USING by its table | embedded refuses | engine.using_qualified
SELECT o.customer AS v, c.name FROM raw.orders o JOIN raw.customers c USING (customer)

-- subquery that looks at its row | embedded refuses | engine.correlated_lateral
SELECT o.order_id, q.name FROM raw.orders o, LATERAL (SELECT c.name FROM raw.customers c WHERE c.customer = o.customer) q

-- membership as a value | embedded refuses | engine.in_subquery
SELECT order_id, customer IN (SELECT customer FROM raw.customers) AS v FROM raw.orders

-- membership in a case | embedded refuses | engine.in_subquery
SELECT order_id, CASE WHEN customer IN (SELECT customer FROM raw.customers) THEN 1 ELSE 0 END AS v FROM raw.orders

-- membership of a group | embedded refuses | engine.in_subquery
SELECT customer FROM raw.orders GROUP BY customer HAVING customer IN (SELECT customer FROM raw.customers)

-- membership of a pair | embedded refuses | engine.tuple_in
SELECT order_id FROM raw.orders WHERE (customer, qty) IN (('ann', 3), ('bob', 7))

-- values by pairs | embedded refuses | engine.decode_pairs
SELECT order_id, DECODE(customer, 'ann', 1, 'bob', 2, 0) AS v FROM raw.orders

-- distinct values over a window | spark refuses | engine.distinct_window
SELECT order_id, COUNT(DISTINCT customer) OVER () AS v FROM raw.orders

-- groups by all columns | embedded refuses | engine.group_by_all
SELECT customer, COUNT(*) AS n FROM raw.orders GROUP BY ALL

-- order by all columns | embedded refuses | engine.order_by_all
SELECT order_id, amount FROM raw.orders ORDER BY ALL

-- groups by their level | embedded refuses | engine.grouping_in_having
SELECT customer, SUM(amount) AS v FROM raw.orders GROUP BY ROLLUP (customer) HAVING GROUPING(customer) = 1

-- groups by the number of their level | embedded refuses | engine.grouping_in_having
SELECT customer, SUM(amount) AS v FROM raw.orders GROUP BY ROLLUP (customer) HAVING GROUPING_ID() = 1

-- pivot without parentheses | embedded refuses | engine.pivot_for
SELECT * FROM (SELECT customer, ok, amount FROM raw.orders) PIVOT (SUM(amount) FOR ok IN (TRUE AS yes, FALSE AS no))

-- unpivot with NULLs | other rows | engine.unpivot_nulls
SELECT order_id, k, v
FROM (SELECT order_id, amount, CAST(qty AS BIGINT) AS qty FROM raw.orders)
UNPIVOT (v FOR k IN (amount, qty))

-- numbers counted up | embedded refuses | engine.recursive_cte
WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 4) SELECT x FROM n

-- all columns but some | embedded refuses | engine.star_except
SELECT * EXCEPT (payload, lines) FROM raw.events

-- alias in the same list | embedded refuses | engine.lateral_alias
SELECT amount * 2 AS dbl, dbl + 1 AS plus FROM raw.orders

-- steps with pipes | embedded refuses | engine.from_first
FROM raw.orders |> WHERE amount > 10 |> SELECT order_id

-- from before select | embedded refuses | engine.from_first
FROM raw.orders SELECT order_id
