-- arr sort
SELECT id, SORT_ARRAY(numbers) AS a, SORT_ARRAY(numbers, FALSE) AS b, ARRAY_SORT(numbers) AS c FROM raw.events

-- arr minmax
SELECT id, ARRAY_MIN(numbers) AS a, ARRAY_MAX(numbers) AS b, ARRAY_POSITION(numbers, 1) AS c,
  ARRAY_REMOVE(numbers, 1) AS d
FROM raw.events

-- arr index
SELECT id, numbers[0] AS a FROM raw.events WHERE id = 1

-- element at
SELECT id, ELEMENT_AT(numbers, -1) AS a FROM raw.events WHERE id = 1

-- try element at
SELECT id, TRY_ELEMENT_AT(numbers, 9) AS a, GET(numbers, 9) AS b FROM raw.events

-- element at map
SELECT id, ELEMENT_AT(attributes, 'k') AS a, attributes['x'] AS b, attributes['none'] AS c FROM raw.events

-- arr append
SELECT id, ARRAY_APPEND(numbers, 7) AS a, ARRAY_PREPEND(numbers, 7) AS b, ARRAY_COMPACT(numbers) AS c,
  ARRAY_INSERT(numbers, 1, 0) AS d
FROM raw.events

-- arr zip
SELECT id, ARRAYS_ZIP(tags, numbers) AS a FROM raw.events

-- arr concat only
SELECT id, CONCAT(numbers, ARRAY(1)) AS a FROM raw.events

-- arr reverse
SELECT id, REVERSE(numbers) AS c FROM raw.events

-- sequence
SELECT SEQUENCE(1, 5, 2) AS a, SEQUENCE(5, 1) AS b

-- transform
SELECT id, TRANSFORM(numbers, x -> x * 2) AS a FROM raw.events

-- transform idx
SELECT id, TRANSFORM(numbers, (x, i) -> x + i) AS a FROM raw.events

-- filter
SELECT id, FILTER(numbers, x -> x > 1) AS a FROM raw.events

-- filter idx
SELECT id, FILTER(numbers, (x, i) -> i > 0) AS a FROM raw.events

-- aggregate
SELECT id, AGGREGATE(numbers, 0, (acc, x) -> acc + x) AS a FROM raw.events

-- aggregate finish
SELECT id, AGGREGATE(numbers, 0, (acc, x) -> acc + x, acc -> acc * 10) AS a FROM raw.events

-- reduce
SELECT id, REDUCE(numbers, 0, (acc, x) -> acc + x) AS a FROM raw.events

-- exists lambda
SELECT id, EXISTS(numbers, x -> x > 2) AS a FROM raw.events

-- forall lambda
SELECT id, FORALL(numbers, x -> x > 0) AS b FROM raw.events

-- array sort lambda
SELECT id, ARRAY_SORT(numbers, (l, r) -> r - l) AS a FROM raw.events WHERE id < 3

-- map filter
SELECT id, MAP_FILTER(attributes, (k, v) -> v = '1') AS a FROM raw.events

-- map basic2
SELECT id, MAP_KEYS(attributes) AS a, MAP_VALUES(attributes) AS b FROM raw.events

-- map entries
SELECT id, MAP_ENTRIES(attributes) AS a FROM raw.events

-- map make
SELECT MAP('a', 1, 'b', 2) AS a, MAP_FROM_ARRAYS(ARRAY('x'), ARRAY(1)) AS b,
  MAP_CONCAT(MAP('a', 1), MAP('b', 2)) AS c, STR_TO_MAP('a:1,b:2') AS d

-- map from entries
SELECT MAP_FROM_ENTRIES(ARRAY(STRUCT('a', 1), STRUCT('b', 2))) AS a

-- struct field2
SELECT id, item.sku AS a, item.qty + 1 AS b FROM raw.events

-- struct star
SELECT id, item.* FROM raw.events

-- struct make
SELECT NAMED_STRUCT('x', id, 'y', 'z') AS a, STRUCT(id, tags) AS b, STRUCT(id AS n) AS c FROM raw.events

-- struct cmp
SELECT id, item = NAMED_STRUCT('sku', 's1', 'qty', 2) AS a FROM raw.events

-- arr struct field
SELECT id, lines.sku AS a, lines[0].qty AS b FROM raw.events WHERE id = 1

-- arr struct get
SELECT id, TRANSFORM(lines, l -> l.qty) AS a FROM raw.events

-- explode
SELECT id, EXPLODE(tags) AS tag FROM raw.events

-- explode outer
SELECT id, EXPLODE_OUTER(tags) AS tag FROM raw.events

-- posexplode
SELECT id, POSEXPLODE(tags) AS (p, tag) FROM raw.events

-- explode map
SELECT id, EXPLODE(attributes) AS (k, v) FROM raw.events

-- inline
SELECT id, INLINE(lines) FROM raw.events

-- lateral view
SELECT id, tag FROM raw.events LATERAL VIEW EXPLODE(tags) t AS tag

-- lateral view outer
SELECT id, tag FROM raw.events LATERAL VIEW OUTER EXPLODE(tags) t AS tag

-- lateral view pos
SELECT id, p, l.sku AS sku FROM raw.events LATERAL VIEW POSEXPLODE(lines) t AS p, l

-- lateral view two
SELECT id, tag, n FROM raw.events LATERAL VIEW EXPLODE(tags) t AS tag LATERAL VIEW EXPLODE(numbers) u AS n

-- stack
SELECT STACK(2, 'a', 1, 'b', 2) AS (k, v)

-- stack cols
SELECT order_id, STACK(2, 'amount', amount, 'qty', CAST(qty AS BIGINT)) AS (k, v) FROM raw.orders

-- arr cmp
SELECT ARRAY(1, 2) = ARRAY(1, 2) AS a, ARRAY(1, 2) < ARRAY(1, 3) AS b

-- collect
SELECT customer, SORT_ARRAY(COLLECT_LIST(amount)) AS a, SORT_ARRAY(COLLECT_SET(amount)) AS b
FROM raw.orders
GROUP BY customer

-- array agg
SELECT customer, SORT_ARRAY(ARRAY_AGG(order_id)) AS a FROM raw.orders GROUP BY customer

-- collect struct
SELECT customer, SORT_ARRAY(COLLECT_LIST(STRUCT(amount, order_id))) AS a FROM raw.orders GROUP BY customer

-- map from agg
SELECT MAP_FROM_ENTRIES(SORT_ARRAY(COLLECT_LIST(STRUCT(order_id, qty)))) AS a FROM raw.orders

-- null struct
SELECT t.q.a AS a FROM (SELECT IF(x > 1, NULL, NAMED_STRUCT('a', x)) AS q FROM VALUES (1),(2) AS v(x)) t

-- null struct2
SELECT q.a AS a
FROM (SELECT CASE WHEN x = 1 THEN NAMED_STRUCT('a', 'z') END AS q FROM VALUES (1),(2) AS v(x)) t

-- null struct3
SELECT o.order_id, q.k.name AS a
FROM raw.orders o
LEFT
JOIN (SELECT customer, NAMED_STRUCT('name', country) AS k FROM raw.customers) q ON o.customer = q.customer

-- lead struct
SELECT LEAD(item) OVER (ORDER BY id).sku AS a FROM raw.events

-- null struct arr
SELECT ARRAY(NAMED_STRUCT('a', 1), NULL)[1].a AS a

-- null arr
SELECT ARRAY(1, NULL, 3) AS a

-- arr order null
SELECT SORT_ARRAY(ARRAY(2, NULL, 1)) AS a, ARRAY_SORT(ARRAY(2, NULL, 1)) AS b, ARRAY_MIN(ARRAY(NULL, 1)) AS c

-- size null
SELECT SIZE(CAST(NULL AS ARRAY<INT>)) AS a, CARDINALITY(CAST(NULL AS MAP<STRING, INT>)) AS b

-- explode alias where
SELECT id, x FROM (SELECT id, EXPLODE(numbers) AS x FROM raw.events) WHERE x > 1

-- agg lambda dec
SELECT AGGREGATE(ARRAY(1.5, 2.5), CAST(0 AS DECIMAL(10,1)), (a, x) -> CAST(a + x AS DECIMAL(10,1))) AS v

-- transform outer
SELECT id, TRANSFORM(numbers, x -> x + id) AS a FROM raw.events

-- filter null
SELECT id, FILTER(numbers, x -> x IS NOT NULL) AS a FROM raw.events

-- nested transform
SELECT TRANSFORM(ARRAY(ARRAY(1, 2), ARRAY(3)), a -> TRANSFORM(a, x -> x * 10)) AS v

-- exists only
SELECT id, EXISTS(numbers, x -> x > 2) AS a FROM raw.events WHERE id < 4

-- min s2
SELECT MIN(STRUCT(a, b)) AS m FROM VALUES ('s', 2), (CAST(NULL AS STRING), 1) AS t(a, b)

-- arr union
SELECT ARRAY_UNION(numbers, ARRAY(1, 9)) AS c FROM raw.events WHERE id < 3

-- arr intersect
SELECT ARRAY_INTERSECT(numbers, ARRAY(1, 9)) AS c FROM raw.events

-- inline outer
SELECT id, INLINE_OUTER(lines) FROM raw.events

-- lv inline
SELECT id, sku, qty FROM raw.events LATERAL VIEW INLINE(lines) AS sku, qty

-- lv explode map
SELECT id, k, v FROM raw.events LATERAL VIEW EXPLODE(attributes) AS k, v

-- expl field ok
SELECT l.sku AS a FROM (SELECT EXPLODE(lines) AS l FROM raw.events)
