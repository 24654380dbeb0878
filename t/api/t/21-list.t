# The list: newest first, a keyset page at a time, nothing unknown let through.
use strict;
use warnings;
use utf8;
use Test::More;
use TaskEvents::Test;

my $u = user('list');
my $path = task_path($u);
sub list { my ($query, %option) = @_; return request(GET => $path . (defined $query ? "?$query" : ''), as => $u, %option) }

my $answer = list();
is $answer->{status}, 200, 'a user without tasks';
is_deeply $answer->{json}, [], 'has an empty list';
is $answer->{headers}{link}, undef, 'and no next page';

my @made = map { create($u, title => "task $_") } 1 .. 7;
$answer = list();
is_deeply [map { $_->{title} } @{ $answer->{json} }], [map { "task $_" } reverse 1 .. 7], 'newest first';
is_deeply $answer->{json}[-1], $made[0], 'whole tasks';
is $answer->{headers}{link}, undef, 'all on one page';
is request(HEAD => $path, as => $u)->{body}, '', 'HEAD has no body';

# Follows rel="next" to the end: the pages and the titles.
sub walk
{
    my ($query) = @_;
    my ($next, @titles, @sizes) = ("$path?$query");
    while (defined $next) {
        my $a = request(GET => $next, as => $u);
        is $a->{status}, 200, "page $next" or last;
        push @sizes, scalar @{ $a->{json} };
        push @titles, map { $_->{title} } @{ $a->{json} };
        my ($link) = ($a->{headers}{link} // '') =~ /<([^>]+)>\s*;\s*rel="?next"?/;
        $next = $link && $link =~ s{^https?://[^/]+}{}r;
        last if @sizes > 50;
    }
    return (\@sizes, \@titles);
}
my ($sizes, $titles) = walk('limit=3');
is_deeply $sizes, [3, 3, 1], 'pages of three';
is_deeply $titles, [map { "task $_" } reverse 1 .. 7], 'each task once, in order';
($sizes, $titles) = walk('limit=7');
is_deeply $sizes, [7], 'no empty page after a full last one';

# many tasks of the same instant: the id decides, and no page loses or repeats one
db()->do('UPDATE taskevents.tasks SET created_at = now() WHERE user_id = ?', undef, $u);
($sizes, $titles) = walk('limit=2');
is_deeply $sizes, [2, 2, 2, 1], 'pages of two';
is_deeply [sort @$titles], [map { "task $_" } 1 .. 7], 'every task once although all are of one instant';
is_deeply $titles, [map { $_->{title} } sort { $b->{id} <=> $a->{id} } @made], 'by id then';

# a page stays where it was when something is added at the front
my ($next) = list('limit=2')->{headers}{link} =~ /<([^>]+)>/;
create($u, title => 'new');
is_deeply [map { $_->{title} } @{ request(GET => $next =~ s{^https?://[^/]+}{}r, as => $u)->{json} }],
    [@$titles[2, 3]], 'a cursor is a place, not a count';
my ($cursor) = $next =~ /after=([^&]+)/;

# limits
is list("limit=$_")->{status}, 200, "limit=$_" for 1, 50, 200;
is scalar @{ list('limit=1')->{json} }, 1, 'one at a time';
for my $limit (0, 201, -1, 'x', '', '1.5', '1e1', '+1', '99999999999999999999', '1%00', '%31x') {
    my $a = list("limit=$limit");
    is_problem($a, 400, "limit=$limit is 400");
    like detail_of($a), qr/limit/, '… and named';
}
for my $after ('x', '', 'AAAA', '%00', '-1', '0', "$cursor%00", "$cursor!", "!$cursor", substr($cursor, 1), '%27%20OR%201=1--', 'A' x 3000) {
    my $a = list("after=$after");
    is_problem($a, 400, 'after=' . substr($after, 0, 40) . ' is 400');
    like detail_of($a), qr/after/, '… and named';
}
for my $query ('foo=1', 'Limit=1', 'limit=1&foo=1', 'foo', 'offset=10', '=1', '%66oo=1') {
    my $a = list($query);
    is_problem($a, 400, "?$query is 400");
    my ($name) = $query =~ /(foo|Limit|offset)/;
    like detail_of($a), qr/$name/, '… naming it' if $name;
}
is list('%6Cimit=2')->{status}, 200, 'names are decoded';
is list('')->{status}, 200, 'an empty query is none';

# the list is one's own
my $stranger = user('list-stranger');
create($stranger, title => 'theirs');
is_deeply [grep { $_->{user_id} ne $u } @{ list('limit=200')->{json} }], [], 'only own tasks';
is_problem(request(GET => task_path($stranger) . "?after=$cursor", as => $u), 403, "not another's, with whatever cursor");

# the default page is fifty
db()->do(q{INSERT INTO taskevents.tasks (id, user_id, title, last_event_id, created_at, updated_at)
           SELECT nextval('taskevents.task_ids'), ?, 'bulk ' || n, gen_random_uuid(), now() - n * interval '1 s', now()
             FROM generate_series(1, 250) AS n}, undef, $stranger);
sub count { return scalar @{ request(GET => task_path($stranger) . $_[0], as => $stranger)->{json} // [] } }
is count(''), 50, 'fifty a page when nothing is said';
is count('?limit=200'), 200, 'two hundred at most';
finish();
