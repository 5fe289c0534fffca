-- inner
SELECT o.order_id, c.name FROM raw.orders o JOIN raw.customers c ON o.customer = c.customer

-- left
SELECT o.order_id, c.name FROM raw.orders o LEFT JOIN raw.customers c ON o.customer = c.customer

-- right
SELECT o.order_id, c.name FROM raw.orders o RIGHT JOIN raw.customers c ON o.customer = c.customer

-- full
SELECT o.order_id, c.customer FROM raw.orders o FULL OUTER JOIN raw.customers c ON o.customer = c.customer

-- semi
SELECT o.order_id FROM raw.orders o LEFT SEMI JOIN raw.customers c ON o.customer = c.customer

-- anti
SELECT o.order_id FROM raw.orders o LEFT ANTI JOIN raw.customers c ON o.customer = c.customer

-- cross
SELECT o.order_id, c.name FROM raw.orders o CROSS JOIN raw.customers c

-- using
SELECT customer, name FROM raw.orders o JOIN raw.customers c USING (customer)

-- full using
SELECT customer, name, order_id FROM raw.orders o FULL JOIN raw.customers c USING (customer)

-- using star
SELECT * FROM raw.orders o JOIN raw.customers c USING (customer)

-- natural
SELECT order_id, customer, name FROM raw.orders o NATURAL JOIN raw.customers c

-- null safe
SELECT o.order_id, p.order_id AS p FROM raw.orders o JOIN raw.orders p ON o.customer <=> p.customer

-- nonequi
SELECT o.order_id, p.order_id AS p
FROM raw.orders o
JOIN raw.orders p ON o.amount < p.amount AND o.qty > p.qty

-- lateral
SELECT o.order_id, q.n FROM raw.orders o, LATERAL (SELECT o.amount * 2 AS n) q

-- in subquery
SELECT order_id FROM raw.orders WHERE customer IN (SELECT customer FROM raw.customers)

-- not in null
SELECT customer FROM raw.customers WHERE customer NOT IN (SELECT customer FROM raw.orders)

-- exists
SELECT c.customer
FROM raw.customers c
WHERE EXISTS (SELECT 1 FROM raw.orders o WHERE o.customer = c.customer AND o.amount > 15)

-- not exists
SELECT c.customer
FROM raw.customers c
WHERE NOT EXISTS (SELECT 1 FROM raw.orders o WHERE o.customer = c.customer)

-- scalar subquery
SELECT order_id, (SELECT MAX(amount) FROM raw.orders) AS m FROM raw.orders

-- correlated scalar
SELECT c.customer, (SELECT SUM(o.amount) FROM raw.orders o WHERE o.customer = c.customer) AS s
FROM raw.customers c

-- asof filter
SELECT o.order_id, MAX_BY(p.order_id, p.ts) AS prev
FROM raw.orders o
LEFT
JOIN raw.orders p ON p.ts < o.ts
GROUP BY o.order_id

-- in case
SELECT order_id FROM raw.orders WHERE customer IN (SELECT customer FROM raw.customers) OR amount > 40

-- exists case
SELECT order_id, EXISTS (SELECT 1 FROM raw.customers c WHERE c.customer = o.customer) AS a FROM raw.orders o

-- str int join
SELECT a.id FROM raw.texts a JOIN raw.orders o ON a.id = CAST(o.qty AS STRING)

-- in tuple
SELECT order_id
FROM raw.orders
WHERE (customer, qty) IN (SELECT p.customer, p.qty FROM raw.orders p WHERE p.ok)

-- in in or
SELECT order_id FROM raw.orders WHERE customer IN (SELECT customer FROM raw.customers) OR ok
