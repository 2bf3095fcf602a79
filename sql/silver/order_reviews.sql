-- Order reviews, many to many between reviews and orders (trap 6): the key is both ids.
-- Title and message keep their bytes exactly, line ends and emoji included (trap 4); has_comment says
-- whether either holds more than white space.
-- Quarantined: a score outside 1..5.
--
-- model: order_reviews
-- key: review_id, order_id
-- source: review_id, order_id, review_score, review_comment_title, review_comment_message,
--   review_creation_date, review_answer_timestamp
-- columns:
--   review_id string not null
--   order_id string not null
--   review_score integer not null
--   review_comment_title string
--   review_comment_message string
--   review_creation_date timestamp
--   review_answer_timestamp timestamp
--   has_comment boolean not null
SELECT r._seq AS _seq, r._extra AS _extra,
       r.review_id AS review_id,
       r.order_id AS order_id,
       r.review_score AS review_score,
       r.review_comment_title AS review_comment_title,
       r.review_comment_message AS review_comment_message,
       r.review_creation_date AS review_creation_date,
       r.review_answer_timestamp AS review_answer_timestamp,
       CASE WHEN is_blank(r.review_comment_title) AND is_blank(r.review_comment_message)
            THEN 'false' ELSE 'true' END AS has_comment,
       broken('review_score', r.review_score, parse_long(r.review_score) NOT BETWEEN 1 AND 5,
              'is not a score from 1 to 5') AS _error
FROM raw r
