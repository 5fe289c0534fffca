-- number of a text that is none
SELECT CAST(s AS INT) AS v FROM raw.texts

-- double too large for an int
SELECT CAST(1e12D AS INT) AS v

-- decimal too large for its type
SELECT CAST(12345.678 AS DECIMAL(5, 2)) AS v

-- division by zero
SELECT qty / (qty - qty) AS v FROM raw.orders

-- remainder by zero
SELECT qty % 0 AS v FROM raw.orders

-- product beyond the largest decimal
SELECT CAST('99999999999999999999999999999999999999' AS DECIMAL(38, 0)) * 10 AS v

-- timestamp of nonsense
SELECT TO_TIMESTAMP('nonsense', 'yyyy-MM-dd') AS v

-- element beyond the array
SELECT numbers[9] AS v FROM raw.events WHERE id = 1

-- element at a place beyond the array
SELECT ELEMENT_AT(numbers, 9) AS v FROM raw.events WHERE id = 1

-- one value of many rows
SELECT (SELECT amount FROM raw.orders) AS v

-- union of a number and a text
SELECT 1 AS v UNION ALL SELECT 'x'

-- boolean plus a number
SELECT ok + 1 AS v FROM raw.orders

-- key twice in a map
SELECT MAP('a', 1, 'a', 2) AS v
