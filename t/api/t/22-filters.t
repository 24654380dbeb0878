# The list's filters, alone and together: only what is asked for, and all of it.
use strict;
use warnings;
use utf8;
use Test::More;
use Encode 'encode_utf8';
use TaskEvents::Test;

my $u = user('filter');
my $path = task_path($u);
sub encode { return escape(encode_utf8($_[0])) }
sub list { return request(GET => "$path?$_[0]", as => $u) }
sub titles { my ($query) = @_; my $a = list($query); return [$a->{status}] if $a->{status} != 200; return [sort map { $_->{title} } @{ $a->{json} }] }
sub finds { my ($query, @want) = @_; is_deeply titles($query), [sort @want], "?$query" }

my @all;
for my $task (
    { title => 'Straße kehren', tags => ['Haus', 'ÄUSSERES'], priority => 'high', due_date => '2031-01-01T10:00:00Z' },
    { title => 'water the GARDEN', tags => ['garden'], priority => 'low', description => "with the\ngreen hose" },
    { title => 'Купить молоко', tags => ['ДОМ'], due_date => '2031-01-02T10:00:00+02:00' },
    { title => '100% of _it_', tags => ['a,b', 'c'], description => 'a backslash \\ and a "quote"', completed => JSON::PP::true },
    { title => 'O\'Neil; DROP TABLE', tags => ['x y'], priority => 'high', completed => JSON::PP::true, due_date => '2031-01-01T10:00:00.000001Z' },
    { title => "E\x{301}clair", tags => ["caf\x{e9}"], description => 'ΣΊΣΥΦΟΣ', due_date => '2031-02-01T00:00:00Z' },
) {
    push @all, create($u, %$task)->{title};
}
is scalar(@{ titles('limit=200') }), 6, 'six tasks';

finds('priority=high', 'Straße kehren', 'O\'Neil; DROP TABLE');
finds('priority=low', 'water the GARDEN');
finds('completed=true', '100% of _it_', 'O\'Neil; DROP TABLE');
finds('completed=false', grep { !/100|Neil/ } @all);

# tags: any of them, whatever their case, whole tags only
finds('tags=haus', 'Straße kehren');
finds('tags=HAUS,garden', 'Straße kehren', 'water the GARDEN');
finds('tags=' . encode($_), 'Straße kehren') for 'äusseres', 'Äußeres', 'ÄUSSERES';
finds('tags=' . encode('дом'), 'Купить молоко');
finds('tags=' . encode("CAFE\x{301}"), "E\x{301}clair");
finds('tags=x%20y', 'O\'Neil; DROP TABLE');
finds('tags=x+y', 'O\'Neil; DROP TABLE');
finds('tags=%20haus%20,%20,nothing', 'Straße kehren');
finds('tags=hau');
finds('tags=hausx');
finds('tags=%25');
finds('tags=c', '100% of _it_');
is_problem(list("tags=$_"), 400, "tags=$_") for '', ',', '%20', join ',', 'a' .. 'k';
is list('tags=' . join ',', 'a' .. 'j')->{status}, 200, 'ten tags';

# due: strictly before and after; what has no due date is neither
finds('due_before=2031-01-01T10:00:00Z');
finds('due_before=2031-01-01T10:00:00.000001Z', 'Straße kehren');
finds('due_before=2031-01-02T00:00:00Z', 'Straße kehren', 'O\'Neil; DROP TABLE');
finds('due_after=2031-01-01T10:00:00Z', 'O\'Neil; DROP TABLE', 'Купить молоко', "E\x{301}clair");
finds('due_after=2031-01-02T08:00:00Z', "E\x{301}clair");
finds('due_after=2031-01-02T09:59:59.999999%2B02:00', 'Купить молоко', "E\x{301}clair");
finds('due_after=2031-01-01T10:00:00Z&due_before=2031-02-01T00:00:00Z', 'O\'Neil; DROP TABLE', 'Купить молоко');
finds('due_after=2032-01-01T00:00:00Z');
for my $name ('due_before', 'due_after') {
    for my $value ('', 'now', '2031-01-01', '2031-01-01T00:00:00', '2031-02-30T00:00:00Z', '2031-01-01T10:00:00+02:00', 'infinity', '20310101T000000Z') {
        my $a = list("$name=$value");
        is_problem($a, 400, "$name=$value");
        like detail_of($a), qr/$name/, '… is named';
    }
}

# q: every word, in title or description, whatever its case, as it stands
finds('q=garden', 'water the GARDEN');
finds('q=GARDEN+water', 'water the GARDEN');
finds('q=water+hose', 'water the GARDEN');
finds('q=the%0Agreen', 'water the GARDEN');
finds('q=%20%20hose%20', 'water the GARDEN');
finds('q=water+nothing');
finds('q=' . encode($_), 'Straße kehren') for 'STRASSE', 'straße', 'Strasse KEHREN', 'traß';
finds('q=' . encode('МОЛОКО'), 'Купить молоко');
finds('q=' . encode("\x{c9}CLAIR"), "E\x{301}clair");
finds('q=' . encode('σίσυφος'), "E\x{301}clair");
finds('q=%25', '100% of _it_');
finds('q=100%25', '100% of _it_');
finds('q=_it_', '100% of _it_');
finds('q=%5C', '100% of _it_');
finds('q=%22quote%22', '100% of _it_');
finds('q=%27', 'O\'Neil; DROP TABLE');
finds('q=' . encode("o'neil; drop"), 'O\'Neil; DROP TABLE');
finds('q=.*');
finds('q=' . encode('{a,b}'));
is_problem(list("q=$_"), 400, "q=$_") for '', '%20', '+%09+', join '+', 1 .. 11;
is list('q=' . join '+', 1 .. 10)->{status}, 200, 'ten words';
is list('q=' . 'x' x 3000)->{status}, 200, 'a long word';

# together: all of them hold
finds('priority=high&completed=false', 'Straße kehren');
finds('priority=high&tags=haus,x%20y&completed=true&due_after=2031-01-01T00:00:00Z&q=drop', 'O\'Neil; DROP TABLE');
finds('priority=low&tags=haus');
finds('q=a&completed=true&sort_by=due_date_desc&limit=200', '100% of _it_', 'O\'Neil; DROP TABLE');

# what it does not know, and what is given twice
for my $query ('priority=urgent', 'priority=', 'priority=High', 'priority=2', 'completed=yes', 'completed=1', 'completed=', 'completed=TRUE', 'sort_by=title_asc', 'sort_by=created',
               'sort_by=created_ASC', 'sort_by=', 'sort_by=due_date', 'search=x', 'Q=x', 'tag=x', 'due=x', 'priority=high&priority=low', 'limit=1&limit=1', 'q=a&q=b', 'completed') {
    my ($name) = $query =~ /^(\w+)/;
    my $a = list($query);
    is_problem($a, 400, "?$query is 400");
    like detail_of($a), qr/\Q$name\E/, '… naming it';
}
is_problem(list('priority=urgent&completed=maybe&foo=1'), 400, 'every fault of a query', '?priority', '?completed', '?foo');
for my $query ('q=%', 'q=%2', 'q=%zz', 'q=%00', 'q=a%00b', 'q=%ff', 'q=%c3', 'q=%ed%a0%80', 'tags=%ff', 'priority=%zz') {
    is_problem(list($query), 400, "?$query is 400");
}
finds('%71=garden', 'water the GARDEN');
finds('priority=%68igh', 'Straße kehren', 'O\'Neil; DROP TABLE');
is list('%zz=1')->{status}, 400, 'a name that is not encoded';
is list("q=garden&")->{status}, 200, 'an ampersand at the end';

# they filter one's own tasks
my $other = user('filter-other');
create($other, title => 'water the GARDEN', tags => ['garden']);
finds('q=garden', 'water the GARDEN');
is row('SELECT count(*) AS n FROM taskevents.tasks WHERE user_id = ?', $u)->{n}, 6, 'and nothing dropped a table';
finish();
