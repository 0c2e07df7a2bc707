drop table :"schema".saga_versions;
