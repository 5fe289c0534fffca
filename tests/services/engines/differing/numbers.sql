-- quotient of decimals | other types | engine.decimal_division
SELECT price / CAST(3 AS DECIMAL(10, 0)) AS v FROM raw.orders

-- quotient of a decimal and an int | other types | engine.decimal_division
SELECT price / qty AS v FROM raw.orders

-- quotient of sums | other types | engine.decimal_division
SELECT 100 * SUM(price) / SUM(qty) AS v FROM raw.orders

-- mean of decimals | other rows | engine.avg_truncates
SELECT AVG(x) AS v FROM VALUES (CAST(1 AS DECIMAL(10, 2))), (CAST(2 AS DECIMAL(10, 2))), (CAST(2 AS DECIMAL(10, 2))) AS t(x)

-- sum beyond the largest long | spark refuses | engine.sum_overflow
SELECT SUM(x) AS v FROM VALUES (9223372036854775807), (1) AS t(x)

-- sum over a window beyond the largest long | spark refuses | engine.sum_overflow
SELECT SUM(x) OVER () AS v FROM VALUES (9223372036854775807), (1) AS t(x)

-- addition beyond the largest long | spark refuses | engine.integer_overflow
SELECT 9223372036854775807 + amount AS v FROM raw.orders

-- addition beyond the largest int | spark refuses | engine.integer_overflow
SELECT 2147483647 + qty AS v FROM raw.orders

-- product beyond the largest long | spark refuses | engine.integer_overflow
SELECT amount * 9223372036854775807 AS v FROM raw.orders

-- rounding to the even neighbour | other rows | engine.rint
SELECT RINT(x) AS v FROM VALUES (0.5D), (1.5D), (2.5D), (-0.5D), (-1.5D) AS t(x)

-- rounding decimals to the even neighbour | embedded refuses | engine.bround
SELECT BROUND(price, 1) AS v FROM raw.orders

-- rounding up to a digit | other rows | engine.ceil_scale
SELECT CEIL(rate, 1) AS v FROM raw.orders

-- rounding down to a digit | other rows | engine.ceil_scale
SELECT FLOOR(rate, 0) AS v FROM raw.orders

-- not a number of NULL | other rows | engine.isnan
SELECT ISNAN(rate) AS v FROM raw.orders

-- large double as text | other rows | engine.double_to_text
SELECT CAST(15000000.0D AS STRING) AS v, CAST(0.0001D AS STRING) AS w

-- column of doubles as text | other rows | engine.double_to_text
SELECT CAST(x AS STRING) AS v FROM VALUES (1e10D), (1e-5D), (CAST('Infinity' AS DOUBLE)) AS t(x)

-- double in a text | other rows | engine.double_to_text
SELECT CONCAT('x', 12345678.9D) AS v

-- array with NULL as text | other rows | engine.nested_to_text
SELECT CAST(ARRAY(1, NULL) AS STRING) AS v

-- map with NULL as text | other rows | engine.nested_to_text
SELECT CAST(MAP('a', NULL) AS STRING) AS v

-- float plus int | other types | engine.float_with_integer
SELECT CAST(rate AS FLOAT) + 1 AS v FROM raw.orders

-- float times bigint | other types | engine.float_with_integer
SELECT CAST(rate AS FLOAT) * CAST(amount AS BIGINT) AS v FROM raw.orders

-- decimal times a whole number | other types | engine.decimal_precision
SELECT price * 2 AS v FROM raw.orders

-- decimal plus a whole number | other types | engine.decimal_precision
SELECT price + 1 AS v FROM raw.orders

-- remainder of a decimal | other types | engine.decimal_precision
SELECT price % 2 AS v FROM raw.orders

-- decimal rounded to a whole number | other types | engine.decimal_precision
SELECT ROUND(price) AS v FROM raw.orders

-- decimal or NULL | other types | engine.decimal_precision
SELECT NULLIF(price, 0) AS v FROM raw.orders

-- product of wide decimals | other types | engine.decimal_digits
SELECT CAST(price AS DECIMAL(38, 9)) * qty AS v FROM raw.orders

-- product of decimals with many digits | other types | engine.decimal_digits
SELECT CAST(1.5 AS DECIMAL(38, 18)) * CAST(1.5 AS DECIMAL(38, 18)) AS v

-- sum of wide decimals | other types | engine.decimal_digits
SELECT CAST(price AS DECIMAL(38, 9)) + CAST(1 AS DECIMAL(38, 9)) AS v FROM raw.orders

-- quotient of wide decimals | other types | engine.decimal_division
SELECT CAST(1.5 AS DECIMAL(38, 9)) / CAST(7 AS DECIMAL(38, 9)) AS v

-- approximate percentile | other types | engine.percentile_approx
SELECT PERCENTILE_APPROX(amount, 0.5) AS v FROM raw.orders

-- approximate percentiles | embedded refuses | engine.percentile_approx
SELECT APPROX_PERCENTILE(rate, ARRAY(0.25, 0.5)) AS v FROM raw.orders

-- matches counted | other types | engine.wider_integer
SELECT REGEXP_COUNT(s, '[0-9]') AS v FROM raw.texts
