create table :"schema".reviews (order_id text primary key, stars integer not null check (stars between 1 and 5));
