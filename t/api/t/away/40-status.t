# The database is away: the status page is what says so.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $json = request(GET => '/operator/status', vhost => 'status');
is $json->{status}, 200, 'the status without a database';
like $json->{json}{database}, qr/\w/, 'says that it is away';
isnt $json->{json}{database}, 'ok', '… in its word for it';
is $json->{json}{$_}, undef, "$_ is not known" for qw(schema_version outbox retries dead_letters open_letters reminders);
cmp_ok scalar(@{ $json->{json}{publishers} }), '>=', 1, 'the children tell of themselves';
my $page = request(GET => '/operator/status', vhost => 'status', headers => [Accept => 'text/html']);
is $page->{status}, 200, 'the page without a database';
like $page->{body}, qr/Something is wrong.*PostgreSQL does not answer/s, 'says so first';
my $list = request(GET => '/operator/status/dead-letters', vhost => 'status', headers => [Accept => 'text/html']);
is $list->{status}, 503, 'dead letters cannot be listed';
like $list->{headers}{'content-type'}, qr{^text/html}, '… said as a page';
is_problem(request(GET => '/operator/status/dead-letters', vhost => 'status'), 503, 'or as a problem');
expect_log(qr/\[taskevents:(?:error|alert|crit)\].*TE\d+.*(?:database|connect)/i, 'that the database is away') if log_lines(qr/\[taskevents:(?:error|alert|crit)\].*TE\d+.*(?:database|connect)/i);
finish();
