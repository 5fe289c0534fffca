-- union
SELECT customer FROM raw.orders UNION SELECT customer FROM raw.customers

-- intersect
SELECT customer FROM raw.orders INTERSECT SELECT customer FROM raw.customers

-- intersect all
SELECT customer FROM raw.orders INTERSECT ALL SELECT customer FROM raw.orders

-- except
SELECT customer FROM raw.orders EXCEPT SELECT customer FROM raw.customers

-- except all
SELECT customer FROM raw.orders EXCEPT ALL SELECT customer FROM raw.customers

-- minus
SELECT customer FROM raw.orders MINUS SELECT customer FROM raw.customers

-- values
SELECT * FROM VALUES (1, 'a'), (2, NULL) AS t(n, s)

-- values mixed
SELECT n FROM VALUES (1), (2.5) AS t(n)

-- union null second
SELECT order_id, customer AS a FROM raw.orders UNION ALL SELECT customer, NULL FROM raw.customers
