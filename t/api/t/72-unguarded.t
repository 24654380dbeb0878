# A task location that nobody guards is said at the start, before it refuses anybody.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $good = qq{TaskEventsEngine On\nTaskEventsTransport local\nTaskEventsDatabase "host=127.0.0.1 port=1 dbname=x connect_timeout=1"\n};
my $owner = 'Require taskevents-owner';
sub location { my ($path, @lines) = @_; return join "\n", "<Location \"$path\">", @lines, '</Location>', '' }
sub said { my ($status, $said) = httpd_try(server_config(lines => $good . $_[0]), undef, 60, qr/AH00489/); is $status, 'runs', '… starts all the same' or diag $said; return $said =~ /\[taskevents:error\][^\n]*TE0009[^\n]*/g }

for my $case (
    ['no Require at all', location('/api', 'SetHandler taskevents')],
    ['Require all granted', location('/api', 'SetHandler taskevents', 'Require all granted')],
    ['another provider', location('/api', 'SetHandler taskevents', 'AuthType Basic', 'AuthName x', 'Require valid-user')],
    ['the provider of the sidecar', location('/api', 'SetHandler taskevents', 'Require taskevents-sidecar')],
    ['the whole server', location('/', 'SetHandler taskevents', 'Require all granted')],
    ['without quotes', "<Location /api>\nSetHandler taskevents\n</Location>\n"],
    ['with a slash', location('/api/', 'SetHandler taskevents', 'Require all granted')],
    ['in a virtual host', "<VirtualHost *:1>\n" . location('/api', 'SetHandler taskevents', 'Require all granted') . '</VirtualHost>'],
    ['one host of two', "<VirtualHost *:1>\n" . location('/api', 'SetHandler taskevents', $owner) . "</VirtualHost>\n<VirtualHost *:2>\n"
        . location('/api', 'SetHandler taskevents') . '</VirtualHost>'],
) {
    my ($name, $lines) = @$case;
    my @said = said($lines);
    is scalar(@said), 1, "$name: said once" or next;
    like $said[0], qr/Require taskevents-owner/, '… and what is missing';
    like $said[0], qr/403/, '… and what it does until then';
}
for my $case (
    ['guarded', location('/api', 'SetHandler taskevents', $owner)],
    ['guarded among others', location('/api', 'SetHandler taskevents', '<RequireAll>', $owner, 'Require ip 127.0.0.1', '</RequireAll>')],
    ['handler and guard in two sections', location('/', 'SetHandler taskevents') . location('/api', $owner)],
    ['in a virtual host', "<VirtualHost *:1>\n" . location('/api', 'SetHandler taskevents', $owner) . '</VirtualHost>'],
    ['other paths', location('/healthz', 'SetHandler taskevents', 'Require all granted') . location('/apiary', 'SetHandler taskevents', 'Require all granted')],
    ['only the document', location('/api/openapi.json', 'SetHandler taskevents', 'Require all granted') . location('/api', 'SetHandler taskevents', $owner)],
    ['nothing mapped', ''],
    ['open, which is said in other words', "TaskEventsOpen On\n" . location('/api', 'SetHandler taskevents')],
) {
    is_deeply [said($case->[1])], [], "$case->[0]: nothing to say";
}
# the same of the sidecar's routes, and of the token that is to let it in
for my $case (
    ['the sidecar\'s routes without its provider', 'Require all granted', 'TaskEventsSidecarToken Off', qr/TE0012[^\n]*Require taskevents-sidecar/, qr/TE0007/],
    ['no app token', 'Require taskevents-sidecar', '', qr/TE0007: no app token/, qr/TE0012/],
) {
    my ($name, $require, $more, $wanted, $not) = @$case;
    my ($status, $said) = httpd_try(server_config(lines => ($good =~ s/Transport local/Transport dapr/r) . "TaskEventsDaprURL http://127.0.0.1:1\n$more\n"
        . qq{<Location ~ "^/(dapr|job|api/events)(/|\$)">\nSetHandler taskevents\n$require\n</Location>\n}), undef, 60, qr/AH00489/);
    is $status, 'runs', "$name: it starts all the same" or diag $said;
    like $said, $wanted, '… and that is said';
    unlike $said, $not, '… and nothing else';
}
# the server under test has such hosts, and said so when it started
my $log = TaskEvents::Test::read_file(root() . '/t/logs/error_log');
ok $log =~ /TE0009|TE0006/, 'this server told of its choices';
my ($status, $said) = httpd_try(server_config(lines => $good . location('/api', 'SetHandler taskevents')), '-t');
is $status, 0, 'httpd -t takes it: it refuses, so it does no harm' or diag $said;
finish();
