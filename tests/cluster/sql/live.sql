-- What a stream must carry, each statement a transaction of its own unless it is between BEGIN and COMMIT.
insert into customers select 'ffff00000000000000000000000000'||lpad(g::text,2,'0'), 'ffff', '01310', 'sao paulo', 'SP' from generate_series(1,4) g;
insert into orders values('ffff0000000000000000000000000001','ffff0000000000000000000000000001','created','2018-09-01 10:11:12',null,null,null,'2018-10-01');
update orders set order_status='approved', order_approved_at='2018-09-01 10:20:00' where order_id='ffff0000000000000000000000000001';
delete from orders where order_id='ffff0000000000000000000000000001';
insert into orders values('ffff0000000000000000000000000005','ffff0000000000000000000000000004','created','2018-09-01 10:11:12',null,null,null,'2018-10-01');
insert into order_items select 'ffff0000000000000000000000000005',1,product_id,seller_id,'2018-08-17 12:15:10',99.9,27.65 from order_items limit 1;
update order_items set price=0 where order_id='ffff0000000000000000000000000005';
delete from order_items where order_id='ffff0000000000000000000000000005';
select ins_types(10);
update types_t set c_text='upd' where id=10;
delete from types_t where id=10;
insert into types_t(id,c_def) values(12,null);
insert into types_t(id,c_numeric,c_ts,c_tstz,c_date,c_float4,c_float8,c_interval,c_bool,c_text,c_num_10_2) values(13,0,'infinity','infinity','infinity','NaN','Infinity','-1 day',false,'',0);
insert into types_t(id,c_numeric,c_ts,c_tstz,c_date,c_float4,c_float8,c_interval,c_time,c_int8) values(14,100.00,'-infinity','-infinity','-infinity','1e-10','-Infinity','1 sec','24:00:00',-9007199254740993);
insert into types_t(id,c_ts,c_tstz,c_date,c_float4,c_float8,c_numeric) values(15,'0044-03-15 12:00 BC','0044-03-15 12:00+00 BC','0044-03-15 BC',16777217,1e21,'1e20');
-- keys that move
insert into pk2 values(2,'y','v2');
update pk2 set b='z' where a=2;
update pk2 set a=3,v='v3' where a=2;
delete from pk2 where a=3;
-- without a key: inserts only
insert into nopk values(2,'n2');
-- TOAST that does not change
update toast_t set small=2 where id=1;
update toast_t set id=2 where id=1;
-- the whole old row
alter table orders replica identity full; alter table toast_t replica identity full; alter table nopk replica identity full; alter table types_t replica identity full;
insert into orders values('ffff0000000000000000000000000002','ffff0000000000000000000000000002','created','2018-09-01 10:11:12',null,null,null,'2018-10-01');
update orders set order_status='approved' where order_id='ffff0000000000000000000000000002';
update orders set order_id='ffff0000000000000000000000000003' where order_id='ffff0000000000000000000000000002';
delete from orders where order_id='ffff0000000000000000000000000003';
update nopk set v='n3' where a=2; delete from nopk where a=2;
update toast_t set small=3 where id=2; delete from toast_t where id=2;
update types_t set c_int4=1 where id=1;
alter table orders replica identity default; alter table types_t replica identity default;
-- one transaction over two tables, and one that never was
begin; insert into orders values('ffff0000000000000000000000000004','ffff0000000000000000000000000003','created','2018-09-01',null,null,null,'2018-10-01'); insert into order_payments values('ffff0000000000000000000000000004',1,'boleto',1,10.5); update orders set order_status='approved' where order_id='ffff0000000000000000000000000004'; commit;
begin; insert into pk2 values(99,'rb','rb'); rollback;
-- the table changes while it streams
alter table pk2 add column extra numeric(6,2) default 1.25, add column extra2 int;
insert into pk2 values(5,'a','b',2.50,9);
update pk2 set extra2=10 where a=5;
alter table pk2 drop column extra2;
insert into pk2 values(6,'a','b',3.75);
alter table pk2 rename column v to vv; insert into pk2 values(7,'a','renamed',1);
-- partitions
insert into part_t values(2,'2025-05-05','q'); update part_t set d='2024-06-06' where id=2;
-- many rows of one WAL record
create temp table many as select g, 'row '||g as v from generate_series(100,400) g; insert into pk2(a,b,vv) select g,'m',v from many;
-- TRUNCATE and messages
truncate nan_t; insert into nan_t values(3,1.1,2.2);
select pg_logical_emit_message(true,'foo','bar');
select pg_logical_emit_message(false,'foo2','bar2');
