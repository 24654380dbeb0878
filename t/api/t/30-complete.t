# Complete and reopen: idempotent, one event for one change.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('complete');
my $task = create($u, title => 'Do it');
my $path = task_path($u, $task->{id}, 'complete');
sub complete { my (%option) = @_; return request(POST => $path, as => $u, %option) }
sub types { return join ' ', map { $_->{type} =~ s/task\.//r } events($u) }

my $answer = complete();
is $answer->{status}, 200, 'complete, without a body';
is $answer->{headers}{etag}, '"2"', 'a new version';
my $done = $answer->{json};
is $done->{completed}, JSON::PP::true, 'it is complete';
like $done->{completed_at}, time_re(), 'since then';
is $done->{version}, 2, 'version';
is $done->{updated_at}, $done->{completed_at}, 'and updated then';
is_deeply { %$done, map { $_ => undef } qw(completed completed_at version updated_at) },
    { %$task, map { $_ => undef } qw(completed completed_at version updated_at) }, 'nothing else changed';
is types(), 'created completed', 'one event';

for my $option ([], [json => { completed => JSON::PP::true }], [body => '', type => undef]) {
    my $a = complete(@$option);
    is $a->{status}, 200, 'again';
    is_deeply $a->{json}, $done, 'no change';
    is $a->{headers}{etag}, '"2"', 'same version';
}
is types(), 'created completed', 'and no event';

$answer = complete(json => { completed => JSON::PP::false });
is $answer->{status}, 200, 'reopened';
is $answer->{json}{completed}, JSON::PP::false, 'open';
is $answer->{json}{completed_at}, undef, 'no longer completed at any time';
is $answer->{json}{version}, 3, 'a new version';
is types(), 'created completed updated', 'as task.updated';
my ($updated) = (events($u))[-1];
is_deeply [sort keys %{ $updated->{data}{changes} }], [qw(completed completed_at)], 'which names what changed';
is_deeply $updated->{data}{changes}{completed}, { old => JSON::PP::true, new => JSON::PP::false }, 'from and to';
is_deeply $updated->{data}{changes}{completed_at}, { old => $done->{completed_at}, new => undef }, 'with the time';
is $updated->{data}{task}{completed}, JSON::PP::false, 'and the whole task';
is complete(json => { completed => JSON::PP::false })->{json}{version}, 3, 'reopening an open one changes nothing';
is types(), 'created completed updated', 'and makes no event';
is complete(json => { completed => JSON::PP::true })->{json}{version}, 4, 'complete once more, said explicitly';
is types(), 'created completed updated completed', 'one event each';

# bodies
is_problem(complete(json => { completed => $_ }), 422, 'completed: ' . encode_json_text($_), '#/completed') for 'yes', 1, [], undef;
is_problem(complete(json => { completed => JSON::PP::true, title => 'x' }), 422, 'another member', '#/title');
is_problem(complete(body => $_), 400, "body $_") for '[]', '{', 'true', '{"completed":true,"completed":false}';
is_problem(complete(body => '{"completed":false}', type => 'text/plain'), 415, 'another media type');
is_problem(complete(body => ' ' x 70000), 413, 'a large body');

# conditions: stale is 412, also when nothing would change
is request(GET => task_path($u, $task->{id}), as => $u)->{json}{version}, 4, 'version 4 now';
for my $value ('"3"', '"5"', 'W/"4"', '"1", "2"', '""', '4') {
    is_problem(complete(headers => ['If-Match' => $value]), 412, "If-Match: $value on a complete task");
    is_problem(complete(headers => ['If-Match' => $value], json => { completed => JSON::PP::false }), 412, "If-Match: $value to reopen");
}
is_problem(complete(headers => ['If-Match' => '"3"'], json => { completed => 7 }), 412, 'checked before the rules of the body');
is types(), 'created completed updated completed', 'none of these made an event';
is complete(headers => ['If-Match' => $_])->{status}, 200, "If-Match: $_" for '"4"', '*', '"3", "4"', '"4-gzip"', '"4-br"';
is complete(headers => ['If-Match' => '"4"'], json => { completed => JSON::PP::false })->{json}{version}, 5, 'a fresh one reopens';

is_problem(request(POST => task_path($u, $task->{id} + 1, 'complete'), as => $u), 404, 'an unknown task');
is_problem(request(POST => task_path($u, $task->{id} + 1, 'complete'), as => $u, headers => ['If-Match' => '"1"']), 404, '404 comes before 412');
is_problem(request(POST => task_path($u, $task->{id} + 1, 'complete'), as => $u, json => { completed => 7 }), 404, 'and before the rules of the body');
is_problem(request(POST => task_path($u, 'abc', 'complete'), as => $u), 404, 'no number');
finish();
