-- case of an int and a decimal | embedded refuses | engine.mixed_types
SELECT CASE WHEN ok THEN 1 ELSE 2.5 END AS v FROM raw.orders

-- case of an int and a double | embedded refuses | engine.mixed_types
SELECT CASE WHEN ok THEN 1 ELSE 2.5D END AS v FROM raw.orders

-- case of an int and a long | other types | engine.mixed_types
SELECT CASE WHEN ok THEN 1 ELSE amount END AS v FROM raw.orders

-- if of an int and a decimal | embedded refuses | engine.mixed_types
SELECT IF(ok, 0, price) AS v FROM raw.orders

-- if of an int and a double | embedded refuses | engine.mixed_types
SELECT IF(ok, 0, rate) AS v FROM raw.orders

-- case of decimals, the narrower first | embedded refuses | engine.mixed_types
SELECT CASE WHEN ok THEN 0.0 ELSE price END AS v FROM raw.orders

-- case of a decimal and a whole number | other types | engine.decimal_precision
SELECT CASE WHEN ok THEN price ELSE 0 END AS v FROM raw.orders

-- sum of such a case | other types | engine.decimal_precision
SELECT SUM(CASE WHEN ok THEN price ELSE 0 END) AS v FROM raw.orders

-- union of an int and a decimal | embedded refuses | engine.mixed_types
SELECT customer, 1 AS v FROM raw.orders UNION ALL SELECT customer, 2.5 FROM raw.customers

-- union of decimals, the narrower first | embedded refuses | engine.mixed_types
SELECT CAST(1.5 AS DECIMAL(4, 1)) AS v UNION ALL SELECT CAST(2.25 AS DECIMAL(5, 2))

-- union of three types | embedded refuses | engine.mixed_types
SELECT 1 AS v UNION ALL SELECT 3L UNION ALL SELECT 2.5D

-- union of int and long | other types | engine.mixed_types
SELECT 1 AS v UNION ALL SELECT amount FROM raw.orders

-- union of NULL and a text | embedded refuses | engine.mixed_types
SELECT order_id, NULL AS v FROM raw.orders UNION ALL SELECT customer, country FROM raw.customers

-- union of dates and timestamps | embedded refuses | engine.mixed_types
SELECT CAST(ts AS DATE) AS v FROM raw.orders UNION ALL SELECT CAST(ts AS TIMESTAMP) FROM raw.orders

-- other value of a decimal | other types | engine.nvl_of_decimals
SELECT NVL(price, 0) AS v FROM raw.orders

-- other value of a decimal, by its other name | other types | engine.nvl_of_decimals
SELECT IFNULL(price, 0.0) AS v FROM raw.orders
