"""The database counts: as many approvals as the environment asks for, of this proposal, one of them from its group.

Roles are the domain's to look up; who had a part, what was proposed and how many are needed is looked up here again.
"""

from django.db import migrations

FORWARD = """
CREATE OR REPLACE FUNCTION configs_app_refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    environment instances_app_environment;
    proposal configs_app_proposal;
    counting bigint[];
    needed integer;
BEGIN
    IF NEW.state <> 'published' OR OLD.state = 'published' THEN
        RETURN NEW;
    END IF;
    SELECT * INTO environment FROM instances_app_environment WHERE id = NEW.environment_id;
    IF NOT environment.protected THEN
        RETURN NEW;
    END IF;
    SELECT * INTO proposal FROM configs_app_proposal p
        WHERE p.change_id = NEW.id AND p.seal = NEW.seal AND NEW.seal = OLD.seal;
    SELECT array_agg(a.approver_id) INTO counting FROM configs_app_approval a
        WHERE a.proposal_id = proposal.id
          AND NOT EXISTS (SELECT 1 FROM configs_app_contributor c
                          WHERE c.change_id = NEW.id AND c.person_id = a.approver_id);
    needed := CASE WHEN proposal.risk = 'high' THEN environment.approvals_high ELSE environment.approvals END;
    IF coalesce(cardinality(counting), 0) < needed THEN
        RAISE EXCEPTION 'a change in a protected environment needs an approval of this content by another person'
            USING ERRCODE = 'check_violation';
    END IF;
    IF environment.approvers_group_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM console_user_groups g
                       WHERE g.group_id = environment.approvers_group_id AND g.user_id = ANY (counting)) THEN
        RAISE EXCEPTION 'one of the approvals has to come from the group of the environment'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""
BACK = """
CREATE OR REPLACE FUNCTION configs_app_refuse_unapproved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.state = 'published' AND OLD.state <> 'published'
       AND (SELECT protected FROM instances_app_environment WHERE id = NEW.environment_id)
       AND NOT EXISTS (SELECT 1 FROM configs_app_approval a
                       WHERE a.change_id = NEW.id AND a.seal = NEW.seal AND NEW.seal <> ''
                         AND NOT EXISTS (SELECT 1 FROM configs_app_contributor c
                                         WHERE c.change_id = NEW.id AND c.person_id = a.approver_id)) THEN
        RAISE EXCEPTION 'a change in a protected environment needs an approval of this content by another person'
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("configs_app", "0013_proposals"),
        ("console", "0001_initial"),
        ("instances_app", "0004_nobody_alone_quietly"),
    ]
    operations = [migrations.RunSQL(FORWARD, BACK)]
