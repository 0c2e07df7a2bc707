create table :"schema".postings (account text not null, amount integer not null, balance integer not null);
create table :"schema".vouchers (code text primary key, worth integer not null);
