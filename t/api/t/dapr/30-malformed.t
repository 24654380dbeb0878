# What is no event of ours is answered 200 (the sidecar must not try again) and
# kept as a dead letter with the reason; the dead-letter route keeps anything.
use strict;
use warnings;
use utf8;
use Test::More;
use Digest::SHA 'sha256_hex';
use TaskEvents::Test;

my @token = (vhost => 'sidecar', headers => ['dapr-api-token' => APP_TOKEN]);
sub deliver { my ($body, $route, $type) = @_; return request(POST => '/api/events/' . ($route // 'tasks'), @token, type => $type // 'application/cloudevents+json', body => $body) }
# bytes as they were sent; the letter of exactly that body
sub letters
{
    my ($stage, $body) = @_;
    my $found = db()->prepare('SELECT id, stage, source, event_id, topic, body_size, octet_length(body) AS kept, reason, attempts, state
        FROM taskevents.dead_letters WHERE stage = ? AND body = ?');
    $found->bind_param(1, $stage);
    $found->bind_param(2, $body, { pg_type => DBD::Pg::PG_BYTEA() });
    $found->execute;
    return @{ $found->fetchall_arrayref({}) };
}
sub kept
{
    my ($name, $body) = @_;
    my $a = deliver($body);
    is $a->{status}, 200, "$name: 200";
    is $a->{body}, '', '… with an empty body';
    my @letters = letters(malformed => $body);
    is scalar(@letters), 1, '… is kept as it came' or return;
    ok length $letters[0]{reason}, "… with the reason: $letters[0]{reason}";
    is $letters[0]{state}, 'open', '… for an operator';
    is $letters[0]{body_size}, length $body, '… and its size';
    return $letters[0];
}

my $u = user('malformed');
my $task = create($u);
my ($event) = events($u);
my $n = 0;
# a good event but for that; each its own id
sub but { my (%change) = @_; my %e = (%$event, id => sprintf('44444444-4444-4444-8444-%012d', ++$n), mark => $u, %change);
    delete @e{ grep { defined $e{$_} && ref $e{$_} eq 'SCALAR' } keys %e }; return encode_json_text(\%e) }
sub data_but { my (%change) = @_; my %d = (%{ $event->{data} }, %change); delete @d{ grep { ref $d{$_} eq 'SCALAR' } keys %d }; return but(data => \%d) }
my $gone = \'gone';

kept(@$_) for
    ['not JSON', "hello $u"], ['half JSON', qq({"mark":"$u")], ['an array', qq(["$u"])], ['a string', qq("$u")], ['null behind a blank', "null  "],
    ['nothing', ''], ['not UTF-8', "{\"mark\":\"$u\xff\"}"], ['NUL', "$u\0$u"], ['a NUL escape', qq({"mark":"$u\\u0000"})],
    ['a member twice', qq({"mark":"$u","mark":"$u"})], ['too deep', '[' x 5000 . $u], ['an empty object', qq({"mark":"$u"})],
    ['no id', but(id => $gone)], ['no source', but(source => $gone)], ['no type', but(type => $gone)], ['no specversion', but(specversion => $gone)],
    ['another specversion', but(specversion => '0.3')], ['an id that is a number', but(id => 7)], ['an empty id', but(id => '')], ['an empty source', but(source => '')],
    ['no data', but(data => $gone)], ['data that is a string', but(data => 'x')], ['data that is null', but(data => undef)], ['data that is an array', but(data => [])],
    ['data without a user', data_but(user_id => $gone)], ['a user that is none', data_but(user_id => 'a b')], ['a user that is a number', data_but(user_id => 7)],
    ['data without a task id', data_but(task_id => $gone)], ['a task id that is a word', data_but(task_id => 'x')], ['a negative task id', data_but(task_id => -1)];
is row('SELECT count(*) AS n FROM taskevents.processed_events WHERE event_id LIKE ?', '44444444-4444-4444-8444-%')->{n}, 0, 'none of them counts as handled';

my $letter = kept('with its own id', but(specversion => '0.3'));
is $letter->{source}, '/taskevents/test', 'a readable source is kept';
is $letter->{event_id}, sprintf('44444444-4444-4444-8444-%012d', $n), 'a readable id too';

# again is the same letter
deliver("hello $u") for 1 .. 3;
is scalar(letters(malformed => "hello $u")), 1, 'the same again is the same letter';
my @answers = at_once(map { [POST => '/api/events/tasks', @token, type => 'application/cloudevents+json', body => "at once $u"] } 1 .. 16);
is_deeply [map { $_->{status} } @answers], [(200) x 16], 'also at the same moment';
is scalar(letters(malformed => "at once $u")), 1, 'one letter';

# size: a delivery of 256 KiB is read, one byte more is a letter
my $cap = 256 * 1024;
my $padded = but(id => '55555555-5555-4555-8555-' . substr(sha256_hex($u), 0, 12));
$padded .= ' ' x ($cap - length $padded);
is deliver($padded)->{status}, 200, 'exactly 256 KiB';
is scalar(letters(malformed => $padded)), 0, 'is handled';
my $large = but(id => '66666666-6666-4666-8666-' . substr(sha256_hex($u), 0, 12));
$large .= ' ' x ($cap + 1 - length $large);
for my $chunked (0, 1) {
    my $a = request(POST => '/api/events/tasks', @token, type => 'application/cloudevents+json', body => $large, chunked => $chunked);
    is $a->{status}, 200, 'one byte more' . ($chunked ? ', chunked' : '');
    is $a->{body}, '', '… with an empty body';
    $large .= ' ';
}
my @large = rows(q{SELECT body_size, octet_length(body) AS kept FROM taskevents.dead_letters
    WHERE stage = 'malformed' AND body_size > ? AND position(convert_to(?, 'UTF8') IN body) > 0 ORDER BY body_size}, $cap, "66666666-6666-4666-8666");
ok @large >= 1, 'is a dead letter';
is $large[0]{body_size}, $cap + 1, 'with its size';

# the dead-letter route: anything up to 4 MiB as it came, larger its head and size
my $good = encode_json_text({ %$event, topic => 'tasks-dlq' });
for my $case (['an event of ours', $good], ['no JSON', "\xff\0binary $u"], ['nothing', ''], ['an array', qq(["$u dead"])],
              ['1 MiB', "$u " . 'x' x (1 << 20)], ['4 MiB', substr("$u " . 'y' x (4 << 20), 0, 4 << 20)]) {
    my ($name, $body) = @$case;
    for my $time (1, 2) {
        my $a = deliver($body, 'dead-letters', $time == 1 ? undef : 'application/octet-stream');
        is $a->{status}, 200, "dead letter, $name";
        is $a->{body}, '', '… with an empty body';
    }
    my @kept = letters(deadletter => $body);
    is scalar(@kept), 1, '… is kept once, as it came';
    is $kept[0]{body_size}, length $body, '… with its size';
    is $kept[0]{event_id}, $event->{id}, '… under its id' if $name =~ /event/;
}
is deliver('z' x ((4 << 20) + 1), 'dead-letters')->{status}, 200, 'dead letter, more than 4 MiB';
my ($huge) = rows(q{SELECT body_size, octet_length(body) AS kept FROM taskevents.dead_letters WHERE stage = 'deadletter' AND body_size > 4 << 20});
is $huge->{body_size}, (4 << 20) + 1, 'with its size';
cmp_ok $huge->{kept}, '>', 0, 'and its head';
cmp_ok $huge->{kept}, '<=', 4 << 20, 'and no more';
is scalar(history($u)), 1, 'keeping a letter handles nothing but the padded event';

# the sidecar goes away in the middle: nothing is kept, and it is asked to come again
{
    my $before = row('SELECT count(*) AS n FROM taskevents.dead_letters')->{n};
    my $socket = TaskEvents::Test::connection('sidecar');
    print {$socket} "POST /api/events/tasks HTTP/1.1\r\nHost: x\r\ndapr-api-token: " . APP_TOKEN . "\r\nContent-Type: application/cloudevents+json\r\nContent-Length: 1000\r\n\r\n{";
    shutdown $socket, 1;
    my $status = TaskEvents::Test::answer($socket, 'POST', 20)->{status};
    ok $status == 500 || $status == 0, "an event that ends in the middle is not accepted ($status)";
    is row('SELECT count(*) AS n FROM taskevents.dead_letters')->{n}, $before, '… and no letter';
}

# each is told once, with a code to search for
ok log_lines(qr/\[taskevents:alert\].*TE\d+/) > 0, 'at level alert';
expect_log(qr/\[taskevents:alert\].*TE\d+/, 'the letters kept');
expect_log(qr/\[taskevents:error\].*TE\d+/, 'why') if log_lines(qr/\[taskevents:error\]/);
finish();
