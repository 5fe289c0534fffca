-- str trim
SELECT id, TRIM(s) AS a, LTRIM(s) AS b, RTRIM(s) AS c, TRIM(BOTH 'x' FROM s) AS d, LENGTH(TRIM(s)) AS e
FROM raw.texts

-- str sub
SELECT id, SUBSTRING(s, 2, 3) AS a, SUBSTRING(s, -3) AS b, LEFT(s, 2) AS c, RIGHT(s, 2) AS d,
  SUBSTR(s, 0, 2) AS e
FROM raw.texts

-- str pad
SELECT id, LPAD(s, 5, '*') AS a, RPAD(s, 14, '.') AS b, REPEAT(s, 2) AS c FROM raw.texts

-- str concat
SELECT id, CONCAT(s, '-', s) AS a, s || NULL AS b, CONCAT_WS('/', s, NULL, 'z') AS c FROM raw.texts

-- concat ws arr
SELECT id, CONCAT_WS(',', tags) AS a FROM raw.events

-- str split
SELECT id, SPLIT(s, ',') AS a, SPLIT(s, '[,;]') AS b, SPLIT(s, ',', 2) AS c FROM raw.texts

-- split part
SELECT id, SPLIT_PART(s, ',', 2) AS a, SPLIT_PART(s, ',', -1) AS b FROM raw.texts

-- substring index
SELECT id, SUBSTRING_INDEX(s, ',', 2) AS a, SUBSTRING_INDEX(s, ',', -1) AS b FROM raw.texts

-- replace
SELECT id, REPLACE(s, 'l', 'L') AS a, TRANSLATE(s, 'abc', 'xy') AS b, OVERLAY(s PLACING '##' FROM 2 FOR 1) AS c
FROM raw.texts

-- like
SELECT id, s LIKE '%o%' AS a, s LIKE '\\%\\_%' AS b, s ILIKE 'HELLO%' AS c, s NOT LIKE '_' AS d FROM raw.texts

-- like escape
SELECT id, s LIKE '/%/_%' ESCAPE '/' AS a FROM raw.texts

-- rlike2
SELECT id, s RLIKE '^[0-9]+$' AS a, s REGEXP 'o' AS b FROM raw.texts

-- regexp extract
SELECT id, REGEXP_EXTRACT(s, '([a-z]+)-([0-9]+)', 2) AS a FROM raw.texts

-- regexp extract default
SELECT id, REGEXP_EXTRACT(s, '([a-z]+)-([0-9]+)') AS a FROM raw.texts

-- regexp extract all
SELECT id, REGEXP_EXTRACT_ALL(s, '([0-9]+)', 1) AS a FROM raw.texts

-- regexp replace
SELECT id, REGEXP_REPLACE(s, '[0-9]+', '#') AS a FROM raw.texts

-- regexp replace group
SELECT id, REGEXP_REPLACE(s, '([a-z]+)-([0-9]+)', '$2-$1') AS a FROM raw.texts

-- regexp d
SELECT id, s RLIKE '\\d+' AS a, REGEXP_REPLACE(s, '\\s+', '_') AS b FROM raw.texts

-- ascii
SELECT id, ASCII(s) AS a, CHR(65) AS b, CHAR_LENGTH(s) AS c, OCTET_LENGTH(s) AS d, BIT_LENGTH(s) AS e
FROM raw.texts

-- hashes
SELECT id, MD5(s) AS a, SHA2(s, 256) AS b, SHA1(s) AS c, CRC32(s) AS d FROM raw.texts

-- hash fn
SELECT id, HASH(s) AS a FROM raw.texts

-- xxhash
SELECT id, XXHASH64(s) AS a FROM raw.texts

-- base64
SELECT id, BASE64(CAST(s AS BINARY)) AS a, CAST(UNBASE64('SGk=') AS STRING) AS b FROM raw.texts

-- soundex
SELECT SOUNDEX('Miller') AS b

-- levenshtein only
SELECT id, LEVENSHTEIN(s, 'Hello') AS a FROM raw.texts

-- format string
SELECT FORMAT_STRING('%s has %d and %.2f', 'x', 5, 1.5D) AS a, PRINTF('%05d', 42) AS b

-- url
SELECT PARSE_URL('https://x.org/p?q=1', 'HOST') AS a, PARSE_URL('https://x.org/p?q=1', 'QUERY', 'q') AS b,
  URL_ENCODE('a b&c') AS c, URL_DECODE('a+b') AS d

-- startswith
SELECT id, STARTSWITH(s, 'He') AS a, ENDSWITH(s, 'ld') AS b, CONTAINS(s, 'lo') AS c FROM raw.texts

-- find in set
SELECT FIND_IN_SET('b', 'a,b,c') AS a, ELT(2, 'x', 'y') AS b, SPACE(2) AS c

-- encode
SELECT ENCODE('ä', 'UTF-8') AS a, DECODE(UNHEX('C3A4'), 'UTF-8') AS b

-- string cmp
SELECT a.id AS x, b.id AS y FROM raw.texts a JOIN raw.texts b ON a.s < b.s

-- string agg
SELECT LISTAGG(order_id, ',') WITHIN GROUP (ORDER BY order_id DESC) AS a FROM raw.orders

-- is numeric
SELECT TRY_TO_NUMBER('x', '999') AS a

-- to char
SELECT TO_CHAR(1234.5, '9,999.9') AS a

-- char type
SELECT CAST('ab' AS CHAR(4)) AS a, CAST('abcdef' AS VARCHAR(3)) AS b

-- strpos
SELECT INSTR('abc', 'c') AS a, LOCATE('o', 'foo', 3) AS b, POSITION('b' IN 'abc') AS c

-- regexp possessive
SELECT 'aa' RLIKE 'a++' AS a

-- regexp ci
SELECT 'ABC' RLIKE '(?i)abc' AS a

-- regexp ext none
SELECT REGEXP_EXTRACT('abc', '([0-9]+)', 1) AS a

-- split regex
SELECT SPLIT('a.b.c', '.') AS a, SPLIT('a.b.c', '\\.') AS b, SPLIT('aXbXc', 'X', -1) AS c

-- upper unicode
SELECT UPPER('straße') AS a, LOWER('İ') AS b, LENGTH('😀') AS c, REVERSE('a😀b') AS d

-- trim tab
SELECT TRIM('\t x \n') AS a, LENGTH(TRIM('\t x \n')) AS b

-- lpad trunc
SELECT LPAD('abc', 2) AS a, RPAD('abc', 2, 'x') AS b, LPAD('a', 3) AS c, LPAD('a', 3, '') AS d

-- concat null
SELECT CONCAT('a', NULL) AS a, CONCAT_WS('-', 'a', NULL, ARRAY('b', NULL)) AS b

-- str int cmp
SELECT id FROM raw.texts WHERE TRY_CAST(s AS INT) = '12'

-- str col cmp int
SELECT s > 5 AS a FROM VALUES ('10'),('9') AS t(s)

-- str between
SELECT '10' BETWEEN 9 AND 11 AS a

-- str in int
SELECT '10' IN (10, 11) AS a, 10 IN ('10') AS b

-- concat int
SELECT CONCAT(1, 'a', 2.50, TRUE, DATE '2026-01-01') AS a, 1 || 2 AS b

-- listagg distinct
SELECT LISTAGG(DISTINCT customer, ',') AS a FROM raw.orders

-- str to map
SELECT STR_TO_MAP('a=1;b=2', ';', '=') AS a

-- regexp named
SELECT REGEXP_EXTRACT('2026-01', '(?<y>[0-9]{4})', 1) AS a

-- rlike dot
SELECT 'a\nb' RLIKE 'a.b' AS a, 'ab' RLIKE 'A' AS b

-- translate unicode
SELECT TRANSLATE('äöü', 'äö', 'ao') AS a, REPLACE('aaa', 'a', '') AS b, REPLACE('abc', '', 'x') AS c
