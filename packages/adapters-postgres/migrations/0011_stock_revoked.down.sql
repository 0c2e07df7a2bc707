alter table :"schema".stock_adjustments drop column revoked;
