-- dec add
SELECT price + CAST(0.001 AS DECIMAL(5,3)) AS v FROM raw.orders

-- dec mul
SELECT price * price AS v, price * CAST(1.5 AS DECIMAL(3,2)) AS w FROM raw.orders

-- dec mod
SELECT price % CAST(2 AS DECIMAL(5,2)) AS v FROM raw.orders

-- dec int add
SELECT price + qty AS v FROM raw.orders

-- dec double
SELECT price * rate AS v FROM raw.orders

-- dec sum
SELECT SUM(price) AS v FROM raw.orders

-- dec ceil
SELECT CEIL(price) AS v, FLOOR(price) AS w FROM raw.orders

-- int div
SELECT qty / 2 AS v, qty DIV 2 AS w, qty % 3 AS x, PMOD(-qty, 3) AS y FROM raw.orders

-- try divide
SELECT TRY_DIVIDE(qty, qty - 3) AS v FROM raw.orders

-- neg mod
SELECT -7 % 3 AS v, MOD(-7, 3) AS w, -7 DIV 2 AS x

-- round only
SELECT ROUND(x) AS v, ROUND(x, 1) AS w FROM VALUES (0.5D),(1.5D),(2.45D),(-0.5D),(-1.55D) AS t(x)

-- math
SELECT ABS(rate) AS a, SIGN(rate) AS b, SQRT(ABS(rate)) AS c, POWER(qty, 2) AS d, EXP(0) AS e,
  GREATEST(qty, 2, NULL) AS g, LEAST(qty, 2) AS h
FROM raw.orders

-- logs
SELECT LN(qty) AS a, LOG10(qty) AS b, LOG(2, qty) AS c, LOG2(qty) AS d FROM raw.orders

-- hex
SELECT HEX(255) AS a, UNHEX('41') AS b, CONV('ff', 16, 10) AS c, BIN(5) AS d

-- bits
SELECT 5 & 3 AS a, 5 | 3 AS b, 5 ^ 3 AS c, ~5 AS d, SHIFTLEFT(1, 3) AS e, SHIFTRIGHT(-8, 1) AS f,
  BIT_COUNT(7) AS g

-- width bucket
SELECT WIDTH_BUCKET(rate, -3, 3, 6) AS v FROM raw.orders

-- literal types
SELECT 1 AS a, 1L AS b, 1.5 AS c, 1.5D AS d, 1e3 AS e, 1S AS f, 1Y AS g, 2147483648 AS h, 1.5BD AS i

-- stddev
SELECT STDDEV(rate) AS a, VAR_POP(rate) AS b, CORR(rate, qty) AS c, COVAR_SAMP(rate, qty) AS d,
  SKEWNESS(rate) AS e, KURTOSIS(rate) AS f
FROM raw.orders

-- percentile
SELECT PERCENTILE(amount, 0.5) AS a, MEDIAN(amount) AS b, PERCENTILE(amount, ARRAY(0.25, 0.75)) AS c
FROM raw.orders

-- percentile cont
SELECT PERCENTILE_CONT(0.5) WITHIN GROUP (ORDER BY amount) AS a FROM raw.orders

-- mode
SELECT MODE(amount) AS a FROM raw.orders

-- to number
SELECT TO_NUMBER('1,234.5', '9,999.9') AS a

-- factorial
SELECT FACTORIAL(5) AS a, CBRT(27) AS b, HYPOT(3, 4) AS c, DEGREES(PI()) AS d

-- greatest dec
SELECT GREATEST(price, 0) AS a, GREATEST(price, 1.125) AS b FROM raw.orders

-- dec mul qty
SELECT price * qty AS a, price * amount AS b FROM raw.orders

-- dec lit
SELECT price * 1.5 AS a, price + 0.001 AS b, price / 2.0 AS c FROM raw.orders

-- dec cmp
SELECT price > 2 AS a, price = 2.5 AS b, price IN (1.25, 10) AS c FROM raw.orders

-- dec neg
SELECT -price AS a, ABS(price) AS b FROM raw.orders

-- dec min
SELECT MIN(price) AS a, MAX(price) AS b, STDDEV(price) AS c FROM raw.orders

-- dec sum win
SELECT SUM(price) OVER (ORDER BY order_id) AS c FROM raw.orders

-- dec idiv
SELECT price DIV 1 AS c FROM raw.orders

-- int avg
SELECT AVG(amount) AS c FROM raw.orders

-- int div long
SELECT amount / qty AS c FROM raw.orders

-- float plus float
SELECT CAST(rate AS FLOAT) * CAST(1.5 AS FLOAT) AS c, CAST(rate AS FLOAT) + 1.5D AS d FROM raw.orders

-- bround dbl
SELECT BROUND(rate) AS a, BROUND(rate, 1) AS b FROM raw.orders

-- avg dec cast
SELECT CAST(AVG(CAST(price AS DOUBLE)) AS DECIMAL(10,2)) AS a FROM raw.orders

-- div cast
SELECT CAST(CAST(price AS DOUBLE) / 3 AS DECIMAL(10,2)) AS a FROM raw.orders

-- sum dec cast
SELECT CAST(SUM(price * qty) AS DECIMAL(20,2)) AS a FROM raw.orders

-- dec mul cast
SELECT CAST(price * 2 AS DECIMAL(12,2)) AS a, CAST(price + 1 AS DECIMAL(12,2)) AS b FROM raw.orders
