-- A program's day in SQL, in memory: fill, index, join, group, update, delete. Prints a checksum.
create table item(id integer primary key, name text, price integer, note text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 200000)
insert into item select i, 'name-' || (i * 7919 % 50021), i * 31 % 997, printf('%.*c', i % 120, 'n') from n;
create index item_name on item(name);
create table sale as select id % 4000 as item, price, name || '/' || id as label from item where id % 3 = 0;
create index sale_item on sale(item);
select count(*), sum(s.price), sum(length(s.label)) from item i join sale s on s.item = i.id;
select sum(c), max(l) from (select count(*) c, length(group_concat(name)) l from item group by price);
update item set note = note || name where id % 5 = 0;
delete from item where price < 100;
select count(*), sum(length(note)) from item;
