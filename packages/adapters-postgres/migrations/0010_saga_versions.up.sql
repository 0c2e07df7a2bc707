-- What each version of a saga was when it first ran here: a definition that was changed under its old version is refused at start.
-- A row a version: nobody sweeps them. Text as it was given (json, not jsonb): two shapes are compared as texts.
create table :"schema".saga_versions (
  saga        text collate "C" not null,
  version     integer          not null,
  fingerprint text             not null,
  shape       json             not null,
  created_at  timestamptz      not null default now(),
  primary key (saga, version)
);
