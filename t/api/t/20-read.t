# GET one task: ETag and If-None-Match, HEAD, and the many ways not to find it.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my ($u, $other) = (user('read'), user('read-other'));
my $task = create($u, title => 'Read me');
my $path = task_path($u, $task->{id});

my $answer = request(GET => $path, as => $u);
is $answer->{status}, 200, 'found';
like $answer->{headers}{'content-type'}, qr{^application/json\b}, 'as JSON';
is $answer->{headers}{etag}, '"1"', 'ETag';
is_deeply $answer->{json}, $task, 'the task as it was made';

my $head = request(HEAD => $path, as => $u);
is $head->{status}, 200, 'HEAD';
is $head->{body}, '', 'has no body';
is $head->{headers}{etag}, '"1"', 'but the ETag';
is $head->{headers}{'content-length'} // length $answer->{body}, length $answer->{body}, 'and the length';
is $head->{headers}{'content-type'}, $answer->{headers}{'content-type'}, 'and the type';

# If-None-Match: weak comparison; a suffix of a compressing proxy does not count
for my $value ('"1"', 'W/"1"', '*', '"0", "1"', '"0","1"', '"1-gzip"', 'W/"1-gzip"', '"1-br"', '"x" , W/"1"') {
    my $a = request(GET => $path, as => $u, headers => ['If-None-Match' => $value]);
    is $a->{status}, 304, "If-None-Match: $value";
    is $a->{body}, '', '… without a body';
    is $a->{headers}{etag}, '"1"', '… with the ETag';
}
is request(HEAD => $path, as => $u, headers => ['If-None-Match' => '"1"'])->{status}, 304, 'HEAD too';
is request(GET => $path, as => $u, headers => ['If-None-Match' => $_])->{status}, 200, "If-None-Match: $_"
    for '"2"', '"11"', '1', '"1', '""', 'W/"2", "3"';

# never found
for my $id ($task->{id} + 1, 9223372036854775807, '9223372036854775808', '99999999999999999999999999', 0, '-1', '+1', '1.0', '1e3', '0x1',
            'abc', '%20', "$task->{id}%20", "$task->{id}x", "$task->{id};a", "$task->{id}%0a", "%C3%A9", "$task->{id}/x", "$task->{id}/", '') {
    my $a = request(GET => task_path($u) . "/$id", as => $u);
    is_problem($a, 404, "task id '$id' is 404");
}
is_problem(request(GET => task_path($other, $task->{id}), as => $other), 404, "another user's task under one's own path");
is_problem(request(GET => $path, as => $other), 403, "another user's path");
is_problem(request(POST => task_path($other, $task->{id}, 'complete'), as => $other), 404, "nor can it be completed");
is request(GET => $path, as => $u)->{json}{version}, 1, 'and it was not';
is_problem(request(GET => $_, as => $u), 404, "$_ is 404")
    for '/api', '/api/', '/api/' . escape($u), '/api/' . escape($u) . '/', '/api/' . escape($u) . '/task', "$path/incomplete",
        '/api/' . escape($u) . '/TASKS', task_path($u) . '.json';
is request(HEAD => task_path($u, 1), as => $u)->{status}, 404, 'HEAD of nothing';

# an early answer to a request of the next version of HTTP or none at all
my $bearer = 'Authorization: Bearer ' . token($u);
like request(GET => $path, raw => "GET $path HTTP/1.0\r\nHost: x\r\n$bearer\r\n\r\n")->{status}, qr/^200$/, 'HTTP/1.0';

# one connection, many requests
my $socket = TaskEvents::Test::connection();
for my $round (1 .. 20) {
    print {$socket} TaskEvents::Test::compose(GET => $path, as => $u, keep => 1);
    my $a = TaskEvents::Test::answer($socket, 'GET');
    $a->{status} == 200 or fail("request $round of a connection"), last;
}
pass 'twenty requests on one connection';
# and a pipeline
print {$socket} map { TaskEvents::Test::compose($_, $path, as => $u, $_ eq 'GET' ? () : (keep => 1)) } qw(HEAD GET);
my $text = do { local $/; <$socket> };
is scalar(() = $text =~ m{^HTTP/1\.1 200 }mg), 2, 'two answers to two requests sent at once';
finish();
