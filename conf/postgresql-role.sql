-- The role that httpd works with, which can do no more than it needs: read and
-- write rows. It owns nothing, and can neither make, change nor drop anything.
--
--   psql -d taskevents -v owner=taskevents -v role=taskevents_httpd \
--       -f conf/postgresql-role.sql
--   psql -d taskevents -c '\password taskevents_httpd'
--
-- by a superuser, when the migrations are deployed. `owner` is the role that
-- deploys them: what it adds later is granted by itself.

\set ON_ERROR_STOP on

SELECT format('CREATE ROLE %I LOGIN NOINHERIT NOCREATEDB NOCREATEROLE NOSUPERUSER',
              :'role')
 WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'role') \gexec

SELECT format('GRANT CONNECT ON DATABASE %I TO %I', current_database(), :'role')
\gexec
SELECT format('REVOKE CREATE, TEMPORARY ON DATABASE %I FROM PUBLIC',
              current_database())
\gexec
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

GRANT USAGE ON SCHEMA taskevents TO :"role";
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA taskevents
    TO :"role";
GRANT USAGE ON ALL SEQUENCES IN SCHEMA taskevents TO :"role";
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA taskevents TO :"role";

ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA taskevents
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA taskevents
    GRANT USAGE ON SEQUENCES TO :"role";
ALTER DEFAULT PRIVILEGES FOR ROLE :"owner" IN SCHEMA taskevents
    GRANT EXECUTE ON FUNCTIONS TO :"role";
