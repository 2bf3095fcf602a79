-- One table for every kind of type, key and replica identity that capture must carry, and their first rows.
create type mood as enum ('sad','ok','happy');
create table types_t(
 id int primary key, c_int2 int2, c_int4 int4, c_int8 int8, c_numeric numeric, c_num_10_2 numeric(10,2), c_num_38_10 numeric(38,10),
 c_text text, c_varchar varchar(40), c_char char(5), c_ts timestamp, c_ts3 timestamp(3), c_ts0 timestamp(0), c_tstz timestamptz, c_tstz3 timestamptz(3), c_date date, c_time time, c_time3 time(3), c_timetz timetz,
 c_bool bool, c_bytea bytea, c_uuid uuid, c_json json, c_jsonb jsonb, c_int_arr int[], c_text_arr text[], c_num_arr numeric(8,2)[], c_ts_arr timestamp[], c_enum mood, c_enum_arr mood[], c_interval interval, c_inet inet, c_cidr cidr, c_mac macaddr, c_money money,
 c_float4 float4, c_float8 float8, c_bit1 bit(1), c_bit5 bit(5), c_varbit varbit(20), c_point point, c_box box, c_int4range int4range, c_tsrange tsrange, c_xml xml, c_oid oid, c_tsvector tsvector, c_pg_lsn pg_lsn,
 c_def text default 'dflt', c_nn int not null default 7, c_serial serial, c_gen int generated always as (id*2) stored);
create table pk2(a int, b text, v text, primary key(a,b));
create table nopk(a int, v text);
create table toast_t(id int primary key, big text, bigb bytea, small int);
create table part_t(id int, d date not null, v text, primary key(id,d)) partition by range(d);
create table part_t_2024 partition of part_t for values from ('2024-01-01') to ('2025-01-01');
create table part_t_2025 partition of part_t for values from ('2025-01-01') to ('2026-01-01');
create or replace function ins_types(i int) returns void language sql as $$
insert into types_t(id,c_int2,c_int4,c_int8,c_numeric,c_num_10_2,c_num_38_10,c_text,c_varchar,c_char,c_ts,c_ts3,c_ts0,c_tstz,c_tstz3,c_date,c_time,c_time3,c_timetz,c_bool,c_bytea,c_uuid,c_json,c_jsonb,c_int_arr,c_text_arr,c_num_arr,c_ts_arr,c_enum,c_enum_arr,c_interval,c_inet,c_cidr,c_mac,c_money,c_float4,c_float8,c_bit1,c_bit5,c_varbit,c_point,c_box,c_int4range,c_tsrange,c_xml,c_oid,c_tsvector,c_pg_lsn)
values(i,-32768,2147483647,9223372036854775807,12345.67890,-123.45,12345678901234567890.0123456789,'héllo "q" \ <é> 日本 '||chr(10)||chr(9)||chr(1)||chr(8)||chr(12)||chr(31)||chr(127)||' 🛒 end','vc','ab','2018-06-20 15:13:16.945104','2018-06-20 15:13:16.945','2018-06-20 15:13:16','2018-06-20 15:13:16.945104+02','2018-06-20 15:13:16.9+02','2018-06-20','15:13:16.945104','15:13:16.945','15:13:16.945104+02',true,'\x00ff10ab','a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11','{"b": 1,  "a":[1,2]}','{"b": 1,  "a":[1,2]}','{1,NULL,3}','{a,"b c",NULL,"q\"x"}','{1.10,NULL,-2.5}','{"2018-06-20 15:13:16.945104"}','happy','{sad,ok}','1 year 2 mons 3 days 04:05:06.78','192.168.1.5/24','10.0.0.0/8','08:00:2b:01:02:03','1234.11',1.1,3.141592653589793,'1','10110','110011','(1.5,-2.5)','((1,2),(3,4))','[1,5]','[2019-03-31 15:30:00,)','<a>x</a>',12345,to_tsvector('simple','a fat cat'),'16/B374D848');
$$;
select ins_types(1);
insert into types_t(id,c_def) values(2,null);
insert into types_t(id,c_numeric,c_ts,c_tstz,c_date,c_float4,c_float8,c_interval,c_bool,c_text,c_num_10_2) values(3,0,'infinity','infinity','infinity','NaN','Infinity','-1 day',false,'',0);
insert into types_t(id,c_numeric,c_ts,c_tstz,c_date,c_float4,c_float8,c_interval,c_time,c_int8) values(4,100.00,'-infinity','-infinity','-infinity','1e-10','-Infinity','1 sec','24:00:00',-9007199254740993);
insert into types_t(id,c_ts,c_tstz,c_date,c_float4,c_float8,c_numeric) values(5,'0044-03-15 12:00 BC','0044-03-15 12:00+00 BC','0044-03-15 BC',16777217,1e21,'1e20');
insert into pk2 values(1,'x','v1');
insert into nopk values(1,'n');
insert into toast_t select 1,(select string_agg(md5(g::text),'') from generate_series(1,500) g),decode((select string_agg(md5(g::text),'') from generate_series(1,500) g),'hex'),1;
insert into part_t values(1,'2024-05-05','p');
create table nan_t(id int primary key, n numeric, n2 numeric(10,2)); insert into nan_t values(1,'NaN','NaN'),(2,'Infinity',1.5);
