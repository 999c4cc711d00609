from django.urls import include, path

from console import account_views, audit_views, people_views, sso, views
from console import second_factor_views as factor

urlpatterns = [
    path("", views.home, name="home"),
    path("login/", account_views.SignIn.as_view(), name="login"),
    path("logout/", account_views.SignOut.as_view(), name="logout"),
    path("account/", account_views.account_page, name="account"),
    path("account/sessions/end/", account_views.session_end, name="session-end"),
    # Names that allauth asks for; its other pages do not exist here.
    path("login/", account_views.SignIn.as_view(), name="account_login"),
    path("account/password/", account_views.PasswordChange.as_view(), name="account_change_password"),
    path("account/confirm/", account_views.Confirm.as_view(), name="account_reauthenticate"),
    path("login/sso/", sso.start, {"provider_id": sso.PROVIDER}, name="openid_connect_login"),
    path("login/sso/callback/", sso.callback, {"provider_id": sso.PROVIDER}, name="openid_connect_callback"),
    path("login/code/", factor.Authenticate.as_view(), name="mfa_authenticate"),
    path("account/confirm/code/", factor.ConfirmByCode.as_view(), name="mfa_reauthenticate"),
    path("account/confirm/key/", factor.ConfirmByKey.as_view(), name="mfa_reauthenticate_webauthn"),
    path("account/app/", factor.AddApp.as_view(), name="mfa_activate_totp"),
    path("account/app/remove/", factor.RemoveApp.as_view(), name="mfa_deactivate_totp"),
    path("account/keys/", factor.AddKey.as_view(), name="mfa_add_webauthn"),
    path("account/keys/<int:pk>/remove/", factor.RemoveKey.as_view(), name="mfa_remove_webauthn"),
    path("account/codes/", factor.RecoveryCodes.as_view(), name="mfa_view_recovery_codes"),
    path("account/codes/new/", factor.NewRecoveryCodes.as_view(), name="mfa_generate_recovery_codes"),
    path("welcome/<uidb64>/<token>/", people_views.Welcome.as_view(), name="welcome"),
    path("people/", people_views.people_list, name="people"),
    path("people/new/", people_views.person_new, name="person-new"),
    path("people/groups/", people_views.groups, name="groups"),
    path("people/<int:pk>/", people_views.person, name="person"),
    path("people/<int:pk>/<slug:deed>/", people_views.person_act, name="person-act"),
    path("e/<slug:environment>/people/", people_views.environment_people, name="environment-people"),
    path("audit/", audit_views.audit_trail, name="audit"),
    path("audit/export/", audit_views.audit_download, name="audit-export"),
    path("audit/<int:sequence>/", audit_views.audit_event, name="audit-event"),
    path("live/<slug:environment>/", views.live_stream, name="live"),
    path("healthz", views.healthz, name="healthz"),
    path("", include("instances_app.urls")),
    path("", include("sync_app.urls")),  # changes/<pk>/publish/ stands before configs' changes/<pk>/<verb>/
    path("", include("configs_app.urls")),
]

handler403 = "console.views.denied"
handler404 = "console.views.missing"
handler429 = "console.account_views.throttled"  # asked for by allauth's throttles
