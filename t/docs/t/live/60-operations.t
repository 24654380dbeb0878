# The statements of docs/operations.md: what was not handled is named, and after a
# restore the numbers of every stream go on far behind those that can have been given.
# Needs TASKEVENTS_DSN.
use strict;
use warnings;

use JSON::PP ();
use Test::More;
use TaskEvents::Docs qw(blocks read_file src);

plan skip_all => 'TASKEVENTS_DSN names no database' if !$ENV{TASKEVENTS_DSN};

my ($missing, $restored) = map { $_->{text} } grep { $_->{language} eq 'sql' } blocks(read_file(src() . '/docs/operations.md'));
like($missing, qr/^SELECT/, 'a statement that looks');
like($restored, qr/^UPDATE/, 'and one that changes');

sub make_task {
    open my $curl, '-|', 'curl', '-sS', '-H', "Authorization: Bearer $ENV{TASKEVENTS_TOKEN}", '-H', 'Content-Type: application/json',
        '-d', '{"title":"Restored"}', "$ENV{TASKEVENTS_URL}/api/alice/tasks" or die "curl: $!\n";
    local $/;
    return JSON::PP->new->decode(scalar <$curl>)->{id};
}

sub query {
    open my $psql, '-|', 'psql', '-XAtq', '-d', $ENV{TASKEVENTS_DSN}, '-c', $_[0] or die "psql: $!\n";
    chomp(my @lines = <$psql>);
    close $psql or die "psql failed\n";
    return wantarray ? @lines : $lines[0];
}

# History as a sidecar leaves it that delivered all but some.
my $event = q('{"sequence":"' || lpad(n::text, 20, '0') || '"}');
query("INSERT INTO taskevents.processed_events (source, event_id, user_id, position, type, event, outcome)
    SELECT '/docs', 'docs ' || u || n, u, n, CASE WHEN n < 10 THEN 'task.created' ELSE 'reminder.scheduled' END, $event, 'handled'
      FROM generate_series(1, 13) n, unnest(ARRAY['docs-all', 'docs-some']) u WHERE u = 'docs-all' OR n NOT IN (4, 5, 12)");
is_deeply([grep { /^docs-/ } query($missing)], ['docs-some|reminder|12|12', 'docs-some|task|4|5'], 'what was not handled is named, and nothing else');
query("DELETE FROM taskevents.processed_events WHERE source = '/docs'");

# The event is in the outbox, or handled already.
sub sequence_of {
    my ($id) = @_;
    return query("SELECT max(coalesce(o.event, p.event)::jsonb ->> 'sequence')
                    FROM (SELECT event::text FROM taskevents.outbox WHERE event::jsonb ->> 'subject' = 'tasks/$id') o
               FULL JOIN (SELECT event::text FROM taskevents.processed_events WHERE task_id = $id) p ON true");
}

my $before = sequence_of(make_task());
query($restored);
my $after = sequence_of(make_task());
like($before, qr/^\d{20}$/, 'a number before');
is($after - $before, 1_000_001, 'the next number is a million further');

done_testing();
