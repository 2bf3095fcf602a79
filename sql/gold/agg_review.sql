-- Reviews by month of creation, score and topic ('none' without text). The average over reviews is not the
-- average over orders: current_reviews counts each order's latest answer only.
--
-- model: agg_review
-- kind: whole
-- key: month, review_score, topic
-- input: fact_reviews
-- sort: month, review_score, topic
-- columns:
--   month date not null
--   review_score integer not null
--   topic string not null
--   sentiment string not null
--   reviews long not null
--   current_reviews long not null
--   with_text long not null
--   late_orders long not null
--   response_seconds long not null
--   answered long not null
SELECT month_of(created_at) AS month, review_score, coalesce(f.topic, 'none') AS topic,
       max(sentiment) AS sentiment, count(*) AS reviews,
       sum(CASE WHEN is_current THEN 1 ELSE 0 END) AS current_reviews, count(f.topic) AS with_text,
       sum(CASE WHEN is_late THEN 1 ELSE 0 END) AS late_orders,
       sum(coalesce(f.response_seconds, 0)) AS response_seconds, count(f.response_seconds) AS answered
FROM fact_reviews f
GROUP BY month_of(created_at), review_score, coalesce(f.topic, 'none')
