# Every order, page by page: ties, tasks without a due date, and tasks that come in
# between; what was there throughout is read exactly once.
use strict;
use warnings;
use utf8;
use Test::More;
use MIME::Base64 'encode_base64url';
use TaskEvents::Test;

my $u = user('paging');
my $path = task_path($u);
my @orders = map { my $by = $_; map { "${by}_$_" } qw(asc desc) } qw(created updated due_date priority);
# 240 tasks of few distinct values: many ties in every order
db()->do(q{INSERT INTO taskevents.tasks (id, user_id, title, description, priority, tags, due_date, last_event_id, created_at, updated_at)
           SELECT nextval('taskevents.task_ids'), ?, 'bulk ' || n, repeat('x', n % 7), 1 + n % 3, ARRAY['t' || n % 2],
                  CASE WHEN n % 4 > 0 THEN timestamptz '2031-01-01Z' + (n * 7 % 10) * interval '1 day 0.000001 s' END, gen_random_uuid(),
                  timestamptz '2026-01-01 00:00:00.123456Z' + (n * 5 % 12) * interval '1 hour', timestamptz '2026-02-01Z' + (n * 11 % 9) * interval '1 microsecond'
             FROM generate_series(1, 240) AS n}, undef, $u);

# The pages from that query on, following rel="next": (sizes, tasks, links).
sub walk
{
    my ($query, $between) = @_;
    my ($next, @sizes, @tasks, @links) = ("$path?$query");
    while (defined $next) {
        my $a = request(GET => $next, as => $u);
        if ($a->{status} != 200) { fail("page $next: $a->{status}"); last }
        push @sizes, scalar @{ $a->{json} };
        push @tasks, @{ $a->{json} };
        ($next) = ($a->{headers}{link} // '') =~ /^<([^>]+)>; rel="next"$/;
        if (defined $a->{headers}{link} && !defined $next) { fail("Link: $a->{headers}{link}"); last }
        push @links, $next if defined $next;
        $between->() if $between;
        if (@sizes > 300) { fail("pages without end: $query"); last }
    }
    return (\@sizes, \@tasks, \@links);
}
# What the database says the order is, told in another way than the module does.
my %sql = (created => 'created_at', updated => 'updated_at', due_date => 'due_date', priority => 'priority');
sub expected
{
    my ($order, $where) = @_;
    my ($by, $direction) = $order =~ /^(.*)_(asc|desc)$/;
    return map { $_->{id} } rows("SELECT id FROM taskevents.tasks WHERE user_id = ? AND ($where)
        ORDER BY $sql{$by} $direction NULLS LAST, id $direction", $u);
}

for my $order (@orders) {
    my @want = expected($order, 'true');
    for my $limit (7, 200) {
        my ($sizes, $tasks) = walk("sort_by=$order&limit=$limit");
        is_deeply [map { $_->{id} } @$tasks], \@want, "$order, $limit a page: every task once, in order";
        is_deeply $sizes, [($limit) x int(240 / $limit), 240 % $limit ? 240 % $limit : ()], '… in full pages and a rest';
    }
    my ($sizes) = walk("sort_by=$order&limit=120");
    is_deeply $sizes, [120, 120], "$order: no empty page behind a full last one";
}
my ($undue) = map { $_->{n} } rows('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ? AND due_date IS NULL', $u);
for my $order (qw(due_date_asc due_date_desc)) {
    my (undef, $tasks) = walk("sort_by=$order&limit=50");
    is_deeply [grep { defined $_->{due_date} } @$tasks[240 - $undue .. 239]], [], "$order: the $undue without a due date are last";
    is scalar(grep { defined $_->{due_date} } @$tasks), 240 - $undue, '… and only they';
}
is_deeply [map { $_->{id} } @{ (walk('limit=200'))[1] }], [expected('created_desc', 'true')], 'newest first when nothing is said';

# Link keeps the other parameters, whatever has to be escaped in them
my ($sizes, $tasks, $links) = walk('sort_by=due_date_desc&limit=11&tags=T1,nothing%26&q=bulk+%31&completed=false');
my $like = q{'t1' = ANY(tags) AND strpos(title, '1') > 0};
is_deeply [map { $_->{id} } @$tasks], [expected('due_date_desc', $like)], 'filters hold on every page';
cmp_ok scalar(@$sizes), '>', 3, '… and there were some (' . @$sizes . ')';
for my $link (@$links) {
    my ($where, $query) = split /\?/, $link, 2;
    is $where, $path, 'Link leads to the list' or last;
    my %param = map { my ($n, $v) = split /=/, $_, 2; $v =~ tr/+/ /; ($n => $v =~ s/%(..)/chr hex $1/ger) } split /&/, $query;
    my $after = delete $param{after};
    is_deeply \%param, { sort_by => 'due_date_desc', limit => 11, tags => 'T1,nothing&', q => 'bulk 1', completed => 'false' }, '… and keeps all parameters' or last;
    like $after, qr/^[A-Za-z0-9_-]+$/, '… with a cursor that needs no escape' or last;
}
is scalar(@{ (walk('q=bulk&priority=low&limit=80'))[0] }), 1, 'a filter that fits a page has one';

# a cursor is of its order; other filters may be put to it, an order may not
my %cursor = map { my $order = $_; my (undef, undef, $l) = walk("sort_by=$order&limit=100"); ($order => $l->[0] =~ /after=([^&]+)/) } @orders;
is scalar(grep { defined } values %cursor), 8, 'a cursor for every order';
for my $order (@orders) {
    is request(GET => "$path?sort_by=$order&after=$cursor{$order}", as => $u)->{status}, 200, "$order takes its own";
    my @refused = grep { request(GET => "$path?sort_by=$order&after=$cursor{$_}", as => $u)->{status} == 400 } grep { $_ ne $order } @orders;
    is scalar(@refused), 7, '… and no other';
}
is_problem(request(GET => "$path?after=$cursor{due_date_asc}", as => $u), 400, 'nor does the order when none is said');
is request(GET => "$path?after=$cursor{created_desc}&sort_by=created_desc", as => $u)->{status}, 200, 'which is created_desc';

# garbage
sub cursor { return encode_base64url($_[0]) }
for my $case (
    ['empty', ''], ['one letter', 'A'], ['no base64', '!!!!'], ['standard base64', '+/+/'], ['not text', cursor("\xff\xfe\x00")], ['a NUL', cursor("0d:1:1\0")], ['a NUL behind it', cursor("0d:1:1") . '%00'],
    ['no parts', cursor('x')], ['two parts', cursor('0d:1')], ['four parts', cursor('0d:1:1:1')], ['no order', cursor(':1:1')], ['an unknown order', cursor('9d:1:1')], ['no direction', cursor('0:1:1')],
    ['no id', cursor('0d:1:')], ['id 0', cursor('0d:1:0')], ['a negative id', cursor('0d:1:-1')], ['an id that is too large', cursor('0d:1:9223372036854775808')], ['an id with a tail', cursor('0d:1:1x')],
    ['no key', cursor('0d::1')], ['a key that is a word', cursor('0d:x:1')], ['a key that is SQL', cursor("0d:1');--:1")], ['null where there is none', cursor('0d:-:1')], ['a key before all times', cursor('0d:-99999999999999999:1')],
    ['a key after all times', cursor('0d:999999999999999999:1')], ['a key that is too large', cursor('0d:99999999999999999999:1')], ['infinity', cursor('0d:infinity:1')], ['a plus', cursor('0d:+1:1')], ['a blank', cursor('0d: 1:1')],
    ['a long one', 'A' x 4000], ['a cursor with a tail', $cursor{created_desc} . 'AAAA'], ['half a cursor', substr $cursor{created_desc}, 0, 8],
    ) {
    my $a = request(GET => "$path?after=$case->[1]", as => $u);
    is_problem($a, 400, "$case->[0] is no cursor");
    like detail_of($a), qr/after/, '… and named';
}
is_problem(request(GET => "$path?sort_by=priority_asc&after=" . cursor("6a:$_:1"), as => $u), 400, "priority $_ is none") for 0, 4, -1, 'high';

# the place of a task that is gone is still a place
my (undef, $all) = walk('limit=200');
my ($next) = request(GET => "$path?limit=10", as => $u)->{headers}{link} =~ /<([^>]+)>/;
is request(DELETE => task_path($u, $all->[9]{id}), as => $u)->{status}, 204, 'the last task of a page is deleted';
is_deeply [map { $_->{id} } @{ request(GET => $next, as => $u)->{json} }], [map { $_->{id} } @$all[10 .. 19]], 'the next page begins where it did';
# all that were left are gone: an empty page, once, and the end
my $v = user('paging-gone');
my @made = map { create($v, title => "t$_") } 1 .. 3;
($next) = request(GET => task_path($v) . '?limit=2', as => $v)->{headers}{link} =~ /<([^>]+)>/;
request(DELETE => task_path($v, $made[0]{id}), as => $v);
my $end = request(GET => $next, as => $v);
is_deeply $end->{json}, [], 'the rest was deleted meanwhile';
is $end->{headers}{link}, undef, 'and that is the end';

# while others write: what was there throughout is read once
my @throughout = map { $_->{id} } rows('SELECT id FROM taskevents.tasks WHERE user_id = ?', $u);
my %is_old = map { $_ => 1 } @throughout;
pipe my $read, my $write or die $!;
my $writer = fork // die $!;
if (!$writer) {
    close $read;
    my $end = 0;
    local $SIG{TERM} = sub { $end = 1 };
    my $n = 0;
    until ($end) {
        # anywhere in every order
        my %member = (title => 'new ' . ++$n, priority => (qw(low medium high))[$n % 3], $n % 4 ? (due_date => sprintf '2031-01-%02dT00:00:00Z', 1 + $n % 12) : ());
        request(POST => $path, as => $u, json => \%member);
    }
    print {$write} $n;
    close $write;
    POSIX::_exit(0);
}
close $write;
for my $order (@orders) {
    my (undef, $tasks) = walk("sort_by=$order&limit=13");
    my %seen;
    $seen{ $_->{id} }++ for @$tasks;
    is_deeply [grep { ($seen{$_} // 0) != 1 } @throughout], [], "$order while others write: each of the " . @throughout . ' once';
    is_deeply [grep { $seen{$_} > 1 } keys %seen], [], '… and no new one twice';
}
kill TERM => $writer;
my $new = do { local $/; <$read> };
waitpid $writer, 0;
cmp_ok $new, '>', 10, "$new were made meanwhile";
finish();
