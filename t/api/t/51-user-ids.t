# User ids at the edges of what is one: they are compared byte by byte, everywhere.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $tail = user('');
my @ids = ("auth0|5f7c$tail", "a\@b.example$tail", "+49$tail", "~$tail", "x=y$tail", "a:b$tail", "_$tail", ".$tail", "..$tail", "...$tail",
    "events$tail", "EVENTS", 'Events', 'a', '-', '~', '...', 'tasks', 'api', 'healthz', 'null', '0', '1e3',
    substr("x$tail" . 'y' x 128, 0, 128), 'A' . '|@+~=:._-' x 14 . 'B');
for my $id (@ids) {
    my $name = length $id > 40 ? substr($id, 0, 20) . '… (' . length($id) . ')' : $id;
    my $answer = request(POST => task_path($id), as => $id, json => { title => "of $name" });
    is $answer->{status}, 201, "$name makes a task" or diag($answer->{body}), next;
    is $answer->{json}{user_id}, $id, '… of its own';
    my $read = request(GET => $answer->{headers}{location} =~ s{^https?://[^/]+}{}r, as => $id);
    is $read->{status}, 200, '… found where Location says';
    my ($event) = grep { $_->{data}{task_id} == $answer->{json}{id} } events($id);
    is $event->{partitionkey}, $id, '… whose event is keyed by it';
    # as few escapes as a URL needs
    (my $plain = $id) =~ s/([^A-Za-z0-9._~\@:+=-])/sprintf '%%%02X', ord $1/ge;
    is request(GET => "/api/$plain/tasks", as => $id)->{status}, 200, '… with as few escapes as possible';
    is_problem(request(GET => task_path($id), as => 'somebody-else'), 403, '… and nobody else\'s');
}

# not user ids: 404 for who has that very name; never a task
for my $id ('events', 'x' x 129, 'a b', 'a,b', 'a%b', 'a"b', "a'b", 'a*', 'a?b', 'a#b', 'a&b', 'a;b', 'a<b', 'a[b]', 'a\\b', 'a^b', 'a`b', 'a{b}', 'a!b', 'a$b', 'a(b)',
            "a\tb", "a\nb", "\x7f", 'ä', '用户') {
    my $bytes = Encode::encode_utf8($id);
    for my $method (qw(GET POST)) {
        my $a = request($method => task_path($bytes), as => $id, $method eq 'POST' ? (json => { title => 'x' }) : ());
        like $a->{status}, qr/^40[04]$/, "$method: " . (length $id > 20 ? length($id) . ' letters are' : $bytes =~ s/[^ -~]/?/gr . ' is') . ' no user id';
    }
}
is_problem(request(GET => '/api/events/tasks', as => 'events'), 404, '/api/events/tasks is no list of tasks');
for my $id ('.', '..', '%2e', '%2E%2e') {
    like request(GET => "/api/$id/tasks", as => $id =~ s/%2e/./gir)->{status}, qr/^40[034]$/, "$id is a path, not a user";
}
is row(q{SELECT count(*) AS n FROM taskevents.tasks WHERE user_id IN ('events', '.', '..') OR length(user_id) > 128})->{n}, 0, 'no task of such';
expect_log(qr/\[(?:core|authz_core|auth_openidc):error\]/, 'what httpd says about such a path')
    if log_lines(qr/\[(?:core|authz_core|auth_openidc):error\]/);
finish();
