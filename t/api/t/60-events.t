# Every change has its event: the envelope, the stream, and in `local` the history.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('events');
my $trace = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01';
my $created = request(POST => task_path($u), as => $u, headers => [traceparent => $trace],
    json => { title => "Müll \"raus\" <b>\\ \x{1f600}\n", tags => ['a', 'ü'], due_date => '2031-05-05T05:05:05.5Z' })->{json};
request(POST => task_path($u, $created->{id}, 'complete'), as => $u);
my $reopened = request(POST => task_path($u, $created->{id}, 'complete'), as => $u, json => { completed => JSON::PP::false })->{json};

my @events = events($u);
is_deeply [map { $_->{type} } @events], [qw(task.created task.completed task.updated)], 'one event a change, in order';
my @data_members = qw(user_id task_id timestamp origin task);
for my $event (@events) {
    my $type = $event->{type};
    is $event->{specversion}, '1.0', "$type: CloudEvents 1.0";
    like $event->{id}, uuid_re(), "$type: id";
    is $event->{source}, '/taskevents/test', "$type: source is as configured";
    is $event->{subject}, "tasks/$created->{id}", "$type: subject";
    like $event->{time}, time_re(), "$type: time";
    is $event->{datacontenttype}, 'application/json', "$type: datacontenttype";
    is $event->{partitionkey}, $u, "$type: partitionkey";
    like $event->{sequence}, qr/^\d{20}$/, "$type: sequence has twenty digits";
    is $event->{correlationid}, $event->{id}, "$type: first of its chain";
    ok !exists $event->{causationid}, "$type: caused by no event";
    like $event->{traceparent}, qr/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/, "$type: traceparent";
    is $event->{traceid}, $event->{traceparent}, "$type: traceid is the same, so that the sidecar keeps it";
    like $event->{dataschema}, qr{/\Q$type\E\.v1\.json$}, "$type: dataschema";
    my $data = $event->{data};
    is_deeply [grep { !exists $data->{$_} } @data_members], [], "$type: data";
    is $data->{user_id}, $u, "$type: of that user";
    is $data->{task_id}, $created->{id}, "$type: and task";
    is $data->{origin}, 'user', "$type: by the user";
    like $data->{timestamp}, time_re(), "$type: timestamp";
    is_deeply [sort keys %{ $data->{task} }], [sort keys %$created], "$type: the whole task";
    # attribute names of CloudEvents: lower-case letters and digits
    is_deeply [grep { !/^[a-z0-9]{1,20}$/ } keys %$event], [], "$type: attribute names";
    is_deeply [grep { ref $event->{$_} && $_ ne 'data' } keys %$event], [], "$type: attributes are scalars";
}
is_deeply [map { $_->{sequence} + 0 } @events], [1, 2, 3], 'numbered from 1';
is scalar(keys %{ { map { $_->{id} => 1 } @events } }), 3, 'ids differ';
is_deeply $events[0]{data}{task}, $created, 'the task as it was answered';
is_deeply $events[2]{data}{task}, $reopened, 'after the change';
is $events[1]{data}{task}{completed}, JSON::PP::true, 'complete in task.completed';
is substr($events[0]{traceparent}, 0, 35), substr($trace, 0, 35), 'the trace of the request goes on';
isnt substr($events[1]{traceparent}, 3, 32), substr($events[0]{traceparent}, 3, 32), 'a request without one starts its own';
for my $bad ('00-' . '0' x 32 . '-00f067aa0ba902b7-01', '00-4bf92f3577b34da6a3ce929d0e0e4736-' . '0' x 16 . '-01', 'ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01',
             'x', '', '00-4BF92F3577B34DA6A3CE929D0E0E4736-00F067AA0BA902B7-01', "$trace-more") {
    my $v = user('trace');
    my $id = request(POST => task_path($v), as => $v, headers => [traceparent => $bad], json => { title => 'x' })->{json}{id};
    my ($event) = grep { $_->{data}{task_id} == $id } events($v);
    like $event->{traceparent}, qr/^00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/, "traceparent '$bad' does not spoil ours";
    isnt substr($event->{traceparent}, 3, 32), '4bf92f3577b34da6a3ce929d0e0e4736', '… and starts a new one';
}

# last_event_id lets a lost COMMIT be resolved
is row('SELECT last_event_id FROM taskevents.tasks WHERE id = ?', $created->{id})->{last_event_id}, $events[2]{id}, 'the task knows its last event';

# the local transport hands them to the handlers: the outbox drains into the history
ok wait_for(sub { history($u, 'tasks') == 3 }), 'all three are handled';
ok wait_for(sub { !outbox($u) }), 'the outbox is empty';
my @all = history($u);
is_deeply [map { $_->{position} } @all], [1 .. @all], 'positions without a gap';
my @history = history($u, 'tasks');
is_deeply [map { $_->{event_id} } @history], [map { $_->{id} } @events], 'in the order of the stream';
is_deeply [map { $_->{source} } @history], [('/taskevents/test') x 3], 'by source';
is_deeply [map { $_->{type} } @history], [map { $_->{type} } @events], 'type';
is_deeply [map { $_->{task_id} } @history], [($created->{id}) x 3], 'task';
ok !grep({ !length } map { $_->{outcome} } @history), 'each with an outcome';
my ($lag) = map { $_->{n} } rows(q{SELECT extract(epoch FROM max(processed_at - (event::json->>'time')::timestamptz)) AS n
    FROM taskevents.processed_events WHERE user_id = ?}, $u);
cmp_ok $lag, '<', 5, "handled soon ($lag s)";

# two users have two streams
my $v = user('events-other');
create($v);
is ((events($v))[0]{sequence} + 0, 1, 'another user counts alone');

# refused and repeated requests leave no hole
for my $i (1 .. 5) {
    create($v);
    request(POST => task_path($v), as => $v, json => { title => '' });
    request(POST => task_path($v), as => $v, body => '{');
    request(POST => task_path($v, 1, 'complete'), as => $v);
}
is_deeply [map { $_->{sequence} + 0 } events($v)], [1 .. 6], 'no gap where a request was refused';
is row(q{SELECT last FROM taskevents.streams WHERE user_id = ? AND name = 'tasks'}, $v)->{last}, 6, 'the counter is where the stream is';
is scalar(grep { $_->{user_id} } rows(q{SELECT user_id FROM taskevents.dead_letters WHERE user_id IN (?, ?)}, $u, $v)), 0, 'nothing was given up on';
finish();
